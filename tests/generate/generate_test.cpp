#include "greentrainer/generate/generate.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

TEST_CASE("tokens are handed over as they are made: those that are generated, in their order, for every prompt") {
  EigenBackend<float> backend(1);
  auto model = load_pretrained(source_folder() / "examples/data/stories260k", backend);
  const std::vector<std::vector<Index>> prompts = {{1, 403, 407}, {1, 261}, {1, 378, 432, 429}};
  GenerateOptions options{.max_new_tokens = 6, .batch_size = 2};
  Generator<EigenBackend<float>> generator(model, options);
  std::vector<std::vector<Index>> heard(prompts.size());
  std::vector<bool> done(prompts.size(), false);
  const auto generated = generator(
      prompts, [&](std::size_t number, const Generated&) { done[number] = true; },
      [&](std::size_t number, Index id) {
        CHECK_FALSE(done[number]);
        heard[number].push_back(id);
      });
  for (std::size_t p = 0; p < prompts.size(); ++p) CHECK(heard[p] == generated[p].ids);
  CHECK(generator(prompts)[1].ids == generated[1].ids);

  options.beams = 2;
  CHECK(has(error_of<ConfigError>(
                [&] { Generator<EigenBackend<float>>(model, options)(prompts, {}, [](std::size_t, Index) {}); }),
            "[generate] beams: expected 1 where tokens are taken one by one, got 2"));
}
