// Generation gives the tokens that transformers gives, for every architecture, on every backend, whatever else is in
// the batch.

#include <doctest/doctest.h>

#include "generate/golden_generation.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "support/golden_model.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

TEST_CASE_TEMPLATE("tiny models generate what transformers generates", B, EigenBackend<float>, EigenBackend<double>,
                   OpaqueBackend<EigenBackend<float>>) {
  B backend(2);
  for (const std::string& name : testing::golden_names()) {
    CAPTURE(name);
    auto model = load_pretrained(testing::source_folder() / "tests/golden/models" / name, backend);
    const testing::GoldenGeneration golden(name);
    CHECK(golden.cases.size() >= 10);
    for (const auto& test : golden.cases) {
      CAPTURE(test.name);
      for (const Extent batch_size : {1, 2, 8}) {
        CAPTURE(batch_size);
        GenerateOptions options = test.options;
        options.batch_size = batch_size;
        const std::vector<Generated> generated = generate(model, golden.prompts, options);
        REQUIRE(generated.size() == golden.prompts.size());
        for (std::size_t p = 0; p < generated.size(); ++p) {
          CAPTURE(p);
          CHECK(generated[p].ids == test.ids[p]);
          CHECK(generated[p].ended == is_end(test.ids[p].back(), options));
          if (options.beams > 1) CHECK(generated[p].score == doctest::Approx(test.scores[p]).epsilon(1e-5));
        }
      }
    }
  }
}
