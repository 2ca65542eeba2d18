#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/select/gradient_dag.hpp"

namespace greentrainer {

/// Forecast of the coming passes if the values at a cut are cached.
struct CutForecast {
  Cut cut;
  Workload computed;  ///< of the sequences whose values are not there yet: for them the part below runs
  Bytes bytes = 0;    ///< that the cache then has
};

/// The cost of the coming forward passes by how deep a selection reaches: that of selections whose parameters are all
/// read by operator `first` or later ones. Ascending in `first`, from 0; costs fall.
struct ForwardLevel {
  OperatorId first = 0;
  std::int64_t cost = 0;
};

/// The levels that forecasts make: a selection may use any cut at or below the first operator that it trains.
template <class P, CostModel<TensorGraph<P>> C>
std::vector<ForwardLevel> forward_levels(const TensorGraph<P>& graph, const C& cost, const Workload& workload,
                                         std::span<const CutForecast> forecasts) {
  const PassPlan plan = evaluation_plan(graph);
  LinearCost above = pass_cost(graph, plan, cost).forward;
  std::vector<ForwardLevel> levels = {{0, evaluate(above, workload)}};
  auto step = plan.steps.begin();
  OperatorId last = 0;
  for (const CutForecast& f : forecasts) {
    if (f.cut.op < last) throw ConfigError("forward_levels", "forecasts", "expected ascending cuts");
    last = f.cut.op;
    for (; step != plan.steps.end() && step->op < f.cut.op; ++step) above -= cost.forward(graph, step->op);
    const std::int64_t with_cut =
        evaluate(above, workload) + evaluate(pass_cost(graph, plan_below(graph, f.cut), cost).forward, f.computed);
    if (with_cut < levels.back().cost) levels.push_back({f.cut.op, with_cut});
  }
  return levels;
}

/// The cut that makes a level, or none.
inline std::optional<Cut> cut_of(const ForwardLevel& level, std::span<const CutForecast> forecasts) {
  for (const CutForecast& f : forecasts) {
    if (level.first > 0 && f.cut.op == level.first) return f.cut;
  }
  return std::nullopt;
}

/// The level of a selection whose first trained operator this is.
inline std::size_t level_of(std::span<const ForwardLevel> levels, OperatorId first) {
  const auto above = std::upper_bound(levels.begin(), levels.end(), first,
                                      [](OperatorId id, const ForwardLevel& level) { return id < level.first; });
  return static_cast<std::size_t>(above - levels.begin()) - 1;
}

/// The cut that makes the coming passes of a selection cheapest; none if no cut makes them cheaper.
template <class P, CostModel<TensorGraph<P>> C>
std::optional<Cut> best_cut(const TensorGraph<P>& graph, const C& cost, const Workload& workload,
                            std::span<const CutForecast> forecasts, const Selection& selection) {
  const std::vector<ForwardLevel> levels = forward_levels(graph, cost, workload, forecasts);
  return cut_of(levels[level_of(std::span(levels), first_trained(graph, selection))], forecasts);
}

/// Adds the cost of depth to the graph: training below a level costs the additional forward passes there. A selection's
/// cost in the graph is then that of its backward passes plus that of its forward passes beyond those of the last
/// level.
template <class P>
void add_forward_levels(const TensorGraph<P>& graph, std::span<const ForwardLevel> levels, GradientDag& dag) {
  if (levels.size() < 2) return;
  std::vector<int> node_of_level(levels.size(), -1);
  for (std::size_t level = levels.size() - 1; level-- > 0;) {
    GradientDag::Node node{.cost = levels[level].cost - levels[level + 1].cost, .needs = {}};
    if (node_of_level[level + 1] >= 0) node.needs.push_back(node_of_level[level + 1]);
    node_of_level[level] = static_cast<int>(dag.nodes.size());
    dag.nodes.push_back(std::move(node));
  }
  for (std::size_t i = 0; i < dag.items.size(); ++i) {
    const int node = node_of_level[level_of(levels, graph.first_reader(static_cast<ParameterId>(i)))];
    if (node >= 0) dag.items[i].needs.push_back(node);
  }
}

}  // namespace greentrainer
