// A trainer whose blocks have a concave worth chooses by it, reports as ever, and a saved run remembers it.

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/select/worth_of_blocks.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::tiny_model;

using B = EigenBackend<float>;

namespace {

GreenOptions options_with(const std::string& worth) {
  return {
      .flops_ratio = 0.7, .importance = "gradient-norm", .worth = worth, .reselect_every = {3, Interval::Unit::steps}};
}

}  // namespace

TEST_CASE("a run by concave worth keeps its budget, is proved, and its selector sees the worth of each block") {
  const auto examples = counting_examples(16);
  for (const std::string worth : {"additive", "square-root", "saturating"}) {
    CAPTURE(worth);
    B backend(1);
    auto model = tiny_model(backend, "llama-gqa-tied");
    Trainer trainer{model, options_with(worth), AdamWOptions{.learning_rate = 1e-2}};
    std::vector<SelectionProblem> problems;
    trainer.use_selector([&](const SelectionProblem& problem) {
      problems.push_back(problem);
      return ExactSelector{}.select(problem);
    });
    const TrainingReport report = trainer.fit(examples, {.steps = 6, .batch_size = 4});
    REQUIRE(report.selections.size() == 2);
    REQUIRE(problems.size() == 2);
    for (std::size_t s = 0; s < problems.size(); ++s) {
      CHECK(report.selections[s].optimal);
      CHECK(report.selections[s].cost <= report.selections[s].budget);
      CHECK(problems[s].dag.worth.form == parse_worth(worth));
      const auto blocks = blocks_of(model.graph(), model.facts().layer_prefixes);
      for (std::size_t i = 0; i < blocks.size(); ++i)
        CHECK(problems[s].dag.items[i].block == (worth == "additive" ? -1 : blocks[i]));
    }
  }
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  CHECK_THROWS_AS((Trainer{model, options_with("root"), AdamWOptions{}}), UsageError);
}

TEST_CASE("a run that was saved with one worth is not continued with another") {
  const auto examples = counting_examples(16);
  const TemporaryFolder folder;
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  Trainer trainer{model, options_with("square-root"), AdamWOptions{.learning_rate = 1e-2}};
  trainer.start(examples, {.steps = 6, .batch_size = 4});
  trainer.step();
  trainer.save(folder / "state");
  for (const std::string worth : {"square-root", "saturating", "additive"}) {
    CAPTURE(worth);
    auto again = tiny_model(backend, "llama-gqa-tied");
    Trainer other{again, options_with(worth), AdamWOptions{.learning_rate = 1e-2}};
    other.start(examples, {.steps = 6, .batch_size = 4});
    if (worth == "square-root")
      CHECK_NOTHROW(other.load(folder / "state"));
    else
      CHECK_THROWS_WITH_AS(other.load(folder / "state"), doctest::Contains("worth"), StateMismatch);
  }
}
