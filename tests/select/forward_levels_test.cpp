#include "greentrainer/select/forward_levels.hpp"

#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

/// Small whole prices a step, so that budget steps round nothing.
struct SmallCost {
  static constexpr std::string_view unit() { return "pieces"; }
  LinearCost forward(const Graph&, OperatorId id) const { return per(Measure::steps, 1 + id % 3); }
  LinearCost part(const Graph&, OperatorId id, int part) const { return per(Measure::steps, (id + part) % 4); }
};

Workload steps(std::int64_t count) {
  Workload w;
  w[Measure::steps] = count;
  return w;
}

/// Cuts with forecasts of a cache that holds some of the examples at some of them.
std::vector<CutForecast> random_forecasts(const Graph& graph, CounterRandom& random) {
  std::vector<CutForecast> forecasts;
  for (Cut& cut : narrow_cuts(graph)) {
    if (random.uniform() < 0.7) forecasts.push_back({std::move(cut), steps(random.below(11))});
  }
  return forecasts;
}

/// Forward and backward passes of a selection, from plans alone: with the best cut that it may use.
std::int64_t cost_by_plans(const Graph& graph, const Selection& selection, const Workload& workload,
                           const std::vector<CutForecast>& forecasts) {
  const SmallCost cost;
  const PassPlan plan = training_plan(graph, selection);
  std::int64_t best = evaluate(pass_cost(graph, plan, cost).total(), workload);
  for (const CutForecast& f : forecasts) {
    if (f.cut.op > first_trained(graph, selection)) continue;
    best = std::min(best, evaluate(pass_cost(graph, plan_above(graph, plan, f.cut), cost).total(), workload) +
                              evaluate(pass_cost(graph, plan_below(graph, f.cut), cost).total(), f.computed));
  }
  return best;
}

}  // namespace

TEST_CASE("with cached prefixes, too, the exact selector finds what exhaustive search over plans finds") {
  const Graph graph = testing::encoder_decoder_graph<CostsAlone>(50, 16, 4);
  const auto parameters = static_cast<ParameterId>(graph.parameters().size());
  const Workload workload = steps(10);
  int cached = 0;
  for (std::uint64_t trial = 0; trial < 12; ++trial) {
    CAPTURE(trial);
    CounterRandom random(trial, "levels");
    const std::vector<CutForecast> forecasts = random_forecasts(graph, random);
    const std::vector<ForwardLevel> levels = forward_levels(graph, SmallCost{}, workload, forecasts);
    SelectionProblem problem{gradient_dag_of(graph, SmallCost{}, workload), 0};
    add_forward_levels(graph, std::span(levels), problem.dag);

    std::vector<ParameterId> candidates;
    for (auto& item : problem.dag.items) item.importance = -1;
    while (candidates.size() < 9) {
      const auto id = static_cast<ParameterId>(random.below(static_cast<std::uint32_t>(parameters)));
      if (std::find(candidates.begin(), candidates.end(), id) != candidates.end()) continue;
      candidates.push_back(id);
      problem.dag.items[static_cast<std::size_t>(id)].importance = 1 + random.below(20);
    }
    const std::int64_t full =
        evaluate(pass_cost(graph, training_plan(graph, select_all(graph)), SmallCost{}).total(), workload);
    const std::int64_t spendable =
        levels.back().cost +
        static_cast<std::int64_t>(random.uniform() * 0.6 * static_cast<double>(full - levels.back().cost));
    problem.budget = spendable - levels.back().cost;

    double best = 0;
    for (std::uint32_t subset = 1; subset < (1U << candidates.size()); ++subset) {
      Selection selection = select_none(graph);
      double importance = 0;
      for (std::size_t c = 0; c < candidates.size(); ++c) {
        if (((subset >> c) & 1U) == 0) continue;
        selection.insert(candidates[c]);
        importance += problem.dag.items[static_cast<std::size_t>(candidates[c])].importance;
      }
      if (importance <= best) continue;
      if (cost_by_plans(graph, selection, workload, forecasts) <= spendable) best = importance;
    }
    const SelectionResult result = ExactSelector{}.select(problem);
    CHECK(result.importance == best);
    if (result.importance == 0) continue;
    const Selection chosen(result.mask);
    CHECK(result.cost + levels.back().cost == cost_by_plans(graph, chosen, workload, forecasts));
    cached += level_of(std::span(levels), first_trained(graph, chosen)) > 0 ? 1 : 0;
  }
  CHECK(cached >= 3);
}
