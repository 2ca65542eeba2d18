// A real model, dequantised from 4 bits by examples/data/make_smollm2.py, says what transformers has it say.

#include <cstdlib>

#include <doctest/doctest.h>

#include "generate/golden_generation.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/pretrained/generate_text.hpp"
#include "support/skip.hpp"

using namespace greentrainer;

TEST_CASE("SmolLM2-135M: greedily and by beam search, in one batch") {
  const char* folder = std::getenv("GREENTRAINER_SMOLLM2");
  if (folder == nullptr)
    GREENTRAINER_SKIP("no GREENTRAINER_SMOLLM2, the folder that examples/data/make_smollm2.py made");
  const testing::GoldenGeneration golden("smollm2");
  EigenBackend<float> backend;
  auto model = load_pretrained(std::filesystem::path(folder), backend);
  CHECK(eos_ids_of(model) == std::vector<Index>{2});
  const auto texts = golden.json.at("texts").get<std::vector<std::string>>();
  for (std::size_t c = 0; c < golden.cases.size(); ++c) {
    CAPTURE(golden.cases[c].name);
    const std::vector<Generated> generated = generate(model, golden.prompts, golden.cases[c].options);
    for (std::size_t p = 0; p < generated.size(); ++p) CHECK(generated[p].ids == golden.cases[c].ids[p]);
    CHECK(generate_text(model, texts, golden.cases[c].options) ==
          golden.json.at("cases")[c].at("texts").get<std::vector<std::string>>());
  }
}
