#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "executor/pass_fixture.hpp"

namespace greentrainer::testing {

using Double = CountingBackend<EigenBackend<double>>;

/// Which rows carry loss, of 4 sequences of 7, 12, 1 and 5 tokens.
struct LabelPattern {
  const char* name;
  std::vector<Index> rows;
};
inline std::vector<LabelPattern> label_patterns() {
  std::vector<Index> all;
  for (Index row = 0; row < 25; ++row) all.push_back(row);
  return {{"scattered, one sequence without", {2, 5, 7, 8, 12, 18, 19}},
          {"the last row of each sequence", {6, 18, 19, 24}},
          {"a single row", {11}},
          {"the first rows", {0, 1, 7, 19, 20, 21}},
          {"all", all}};
}
inline Batch labelled_batch(const LabelPattern& labels, bool with_sources) {
  Batch batch = random_batch(80, {7, 12, 1, 5}, 3, with_sources ? 6 : 0);
  batch.label_rows = labels.rows;
  batch.labels.clear();
  for (const Index row : labels.rows) batch.labels.push_back((5 * row + 3) % 80);
  return batch;
}
inline LabelPattern random_labels(CounterRandom& random) {
  LabelPattern labels{"random", {}};
  for (Index row = 0; row < 25; ++row) {
    if (random.uniform() < 0.3) labels.rows.push_back(row);
  }
  if (labels.rows.empty()) labels.rows.push_back(9);
  return labels;
}

/// What a training pass gave, and what it took.
struct PassOutcome {
  double loss = 0;
  std::vector<std::vector<double>> gradients;
  Flops flops = 0, planned = 0;
};
inline PassOutcome train_once(Model<Double>& model, const Batch& batch, const Selection& selection) {
  GradientStore<Double> gradients(model.backend());
  gradients.select(model.graph(), select_all(model.graph()));
  gradients.zero();
  const Schedule schedule = make_schedule(model.graph(), selection);
  model.executor().poison_dead_memory(true);
  model.backend().reset();
  PassOutcome outcome;
  outcome.loss = model.executor().run(schedule, batch, {.gradients = &gradients});
  outcome.flops = model.backend().flops();
  outcome.planned = evaluate(pass_cost(model.graph(), schedule.plan, ExactCost<Double>{}).total(),
                             workload_of(batch, model.graph().window()));
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id)
    outcome.gradients.push_back(gradients[id].download());
  return outcome;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}
inline double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace greentrainer::testing
