// Sampling: what is trained is drawn anew at each selection, within the budget, and what is let go keeps no moments.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

/// Importances that training hardly changes, so that a choice without sampling is the same again.
GreenOptions with(Sampling sampling) {
  return {.flops_ratio = 0.6,
          .importance = "magnitude",
          .sampling = sampling,
          .reselect_every = {2, Interval::Unit::steps}};
}
const AdamWOptions slow{.learning_rate = 1e-5};

struct Run {
  TrainingReport report;
  std::vector<std::vector<float>> weights;

  std::vector<std::vector<std::string>> chosen() const {
    std::vector<std::vector<std::string>> all;
    for (const SelectionRecord& record : report.selections) all.push_back(record.names);
    return all;
  }
};

Run run(Sampling sampling, std::uint64_t seed, int threads = 1) {
  const auto examples = counting_examples(16);
  B backend(threads);
  auto model = tiny_model(backend, "llama-gqa-tied");
  Trainer trainer{model, with(sampling), slow};
  backend.reset();
  Run done{.report = trainer.fit(
               examples, {.epochs = 4, .batch_size = 4, .shuffle = false, .seed = seed, .evaluate = Evaluations::none}),
           .weights = weights_of(model)};
  CHECK(backend.flops() == done.report.spent());
  return done;
}

}  // namespace

TEST_CASE(
    "tensors are drawn anew at each selection, within the budget, by seed, and the same for any number of threads") {
  const Run best = run(Sampling::off, 1), drawn = run(Sampling::importance, 1);
  const auto different = [](const Run& of) {
    const auto chosen = of.chosen();
    return std::set(chosen.begin(), chosen.end()).size();
  };
  REQUIRE(drawn.report.selections.size() == 8);
  CHECK(different(best) == 1);
  CHECK(different(drawn) >= 4);
  CHECK(drawn.report.ratio() <= 0.6);
  for (const SelectionRecord& record : drawn.report.selections) {
    CHECK(record.cost > 0);
    CHECK(record.cost <= record.budget);
    CHECK(record.optimal);
  }
  CHECK(drawn.report.selections[0].importance == best.report.selections[0].importance);  // as it was measured

  const Run again = run(Sampling::importance, 1, 3), other = run(Sampling::importance, 2);
  CHECK(again.chosen() == drawn.chosen());
  CHECK(again.weights == drawn.weights);
  CHECK(other.chosen() != drawn.chosen());
}

TEST_CASE(
    "a tensor that is drawn again in a row keeps its moments; one that is not frees them, and begins anew later") {
  const auto examples = counting_examples(16);
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto count = static_cast<ParameterId>(model.graph().parameters().size());
  Trainer trainer{model, with(Sampling::importance), slow};
  trainer.start(examples, {.epochs = 4, .batch_size = 4, .evaluate = Evaluations::none});
  std::map<ParameterId, Extent> in_a_row, ever;
  int stayed = 0, came_back = 0;
  while (trainer.step()) {
    Bytes bytes = 0;
    for (ParameterId id = 0; id < count; ++id) {
      CAPTURE(model.graph().parameter(id).name);
      const bool trained = trainer.selection().contains(id);
      if (!trained) in_a_row[id] = 0;
      if (trained) {
        came_back += in_a_row[id] == 0 && ever[id] > 0 ? 1 : 0;
        stayed += in_a_row[id] == 2 ? 1 : 0;  // beyond one selection's two steps
        ++in_a_row[id], ++ever[id];
        bytes += 2 * static_cast<Bytes>(sizeof(float)) * model.graph().parameter(id).size();
      }
      CHECK(trainer.optimizer().updates(id) == in_a_row[id]);
      CHECK(trainer.optimizer().state_tensors(id).size() == (trained ? 2 : 0));
    }
    CHECK(trainer.optimizer().state_bytes() == bytes);
  }
  CHECK(stayed > 0);
  CHECK(came_back > 0);
}
