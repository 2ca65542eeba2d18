// Generation with longrope: where a sequence outgrows the original context, all of its keys are others.

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

using Double = EigenBackend<double>;

/// Its original context has 8 tokens.
PretrainedModel<Double> load_phi3(Double& backend) {
  return load_pretrained(testing::source_folder() / "tests/golden/architectures/phi3_longrope", backend);
}

/// Without a cache: every token from the whole sequence.
std::vector<Index> greedy_from_logits(Model<Double>& model, std::vector<Index> ids, int new_tokens) {
  const std::size_t prompt = ids.size();
  for (int i = 0; i < new_tokens; ++i) {
    PackedTokens tokens;
    tokens.append(ids);
    const auto logits = model.logits(tokens);
    const auto last = logits.end() - static_cast<std::ptrdiff_t>(model.facts().vocabulary);
    ids.push_back(static_cast<Index>(std::max_element(last, logits.end()) - last));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end()};
}

const std::vector<std::vector<Index>> prompts = {
    {5, 9, 31}, {12, 44, 60, 3, 7, 21, 50}, {8, 8, 15, 33, 71, 6, 29, 40, 18, 11}, {64, 10, 27, 39, 5, 52, 13, 70}};

}  // namespace

TEST_CASE("prompts that outgrow the original context at different steps give what the whole sequence gives") {
  Double backend;
  auto model = load_phi3(backend);
  for (const Extent batch : {1, 4}) {
    const auto generated = generate(model, prompts, {.max_new_tokens = 9, .batch_size = batch});
    for (std::size_t p = 0; p < prompts.size(); ++p) {
      CAPTURE(p);
      CHECK(generated[p].ids == greedy_from_logits(model, prompts[p], 9));
    }
  }
}

TEST_CASE("a step that outgrows the original context is refused: its keys would be those of a short sequence") {
  Double backend;
  auto model = load_phi3(backend);
  DecodingExecutor<Double> executor(model);
  PackedTokens tokens;
  tokens.append(prompts[1]);
  executor.start(tokens, {}, {.steps = 2});
  const std::vector<Index> slot = {0}, id = {5};
  CHECK_NOTHROW(executor.step(slot, id));  // the eighth token
  CHECK_THROWS_WITH_AS(executor.step(slot, id), doctest::Contains("start over"), ShapeError);
}

TEST_CASE("a search with several beams stays within the original context, or begins beyond") {
  Double backend;
  auto model = load_phi3(backend);
  const auto with = [&](std::size_t prompt, Extent new_tokens) {
    const std::vector<std::vector<Index>> one = {prompts[prompt]};
    return generate(model, one, {.max_new_tokens = new_tokens, .beams = 2}).front().ids.size();
  };
  CHECK(with(0, 6) == 6);  // reads 3 and 5 tokens
  CHECK_THROWS_WITH_AS(with(0, 7), doctest::Contains("use one beam"), DataError);
  CHECK(with(2, 5) == 5);
}
