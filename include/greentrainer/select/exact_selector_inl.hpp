#pragma once

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/select/branch_and_bound.hpp"
#include "greentrainer/select/diagram_knapsack.hpp"
#include "greentrainer/select/diagram_search.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/partial_selection.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"

namespace greentrainer {

namespace select_detail {

/// Everything that can be chosen, if it fits together.
inline bool all_fits(const ReducedProblem& reduced) {
  std::int64_t cost = 0;
  for (const auto& node_class : reduced.classes) cost += node_class.cost;
  for (const auto& group : reduced.groups) {
    for (const auto& item : group.items) cost += item.cost;
  }
  return cost <= reduced.budget;
}

inline std::vector<int> all_items(const ReducedProblem& reduced) {
  std::vector<int> numbers;
  for (const auto& group : reduced.groups) {
    for (const auto& item : group.items) numbers.push_back(item.number);
  }
  return numbers;
}

inline std::int64_t common_divisor(const ReducedProblem& reduced) {
  std::int64_t divisor = 0;
  for (const auto& node_class : reduced.classes) divisor = std::gcd(divisor, node_class.cost);
  for (const auto& group : reduced.groups) {
    for (const auto& item : group.items) divisor = std::gcd(divisor, item.cost);
  }
  return std::max<std::int64_t>(divisor, 1);
}

inline std::optional<SelectionDiagram> find_diagram(const ExactSelector& selector, const ReducedProblem& reduced,
                                                    std::int64_t step) {
  // Backward order suits graphs built in that order. Deciding a class at its last node, not its first, lets what spans
  // many stages (an encoder's gradient through all cross-attentions) wait until they are known.
  auto diagram =
      SelectionDiagram::build(reduced, backward_order(reduced, true), step, selector.max_vertices, selector.max_states);
  if (!diagram) {
    const auto order = narrow_order(reduced, selector.max_states);
    diagram = SelectionDiagram::build(reduced, order, step, selector.max_vertices, selector.max_states);
  }
  return diagram;
}

/// By a knapsack with costs in whole steps; what rounding leaves over is spent again.
inline PartialSelection select_in_steps(const ReducedProblem& reduced, const SelectionDiagram& diagram,
                                        std::int64_t step, bool exact) {
  const DiagramKnapsack knapsack(reduced, diagram, step);
  PartialSelection best(reduced);
  // Rounding can put the wrong one of several nearly equal depths first, so the first few are tried. When it is exact,
  // the first is the best.
  const std::size_t candidates = exact ? 1 : 4;
  for (std::size_t e = 0; e < std::min(candidates, knapsack.ends().size()); ++e) {
    PartialSelection candidate(reduced, knapsack.trace(knapsack.ends()[e].second));
    if (!exact) {
      constexpr std::size_t knapsack_steps = 20000;
      candidate.choose_again(knapsack_steps);
      if (candidate.fill_greedily()) candidate.choose_again(knapsack_steps);
    }
    if (candidate.importance() > best.importance()) best = std::move(candidate);
  }
  return best;
}

}  // namespace select_detail

GREENTRAINER_INLINE SelectionResult ExactSelector::select(const SelectionProblem& problem) const {
  if (budget_steps <= 0)
    throw ConfigError("exact_selector", "budget_steps", text("expected 1 or more, got ", budget_steps));
  const select_detail::ReducedProblem reduced = select_detail::reduce(problem);
  if (select_detail::all_fits(reduced))
    return make_optimal_result(problem.dag, reduced.mask(select_detail::all_items(reduced)));

  const std::int64_t divisor = select_detail::common_divisor(reduced);
  const std::int64_t units = reduced.budget / divisor;
  const auto step_for = [&](std::int64_t steps) {
    return divisor * std::max<std::int64_t>(1, units / steps + (units % steps != 0 ? 1 : 0));
  };
  std::int64_t step = step_for(budget_steps);
  auto diagram = select_detail::find_diagram(*this, reduced, step);

  select_detail::PartialSelection best(reduced);
  best.fill_greedily();
  const auto finish = [&](bool complete, double bound) {
    best.fill_greedily();  // what is worth less than the last digits of the sum
    auto mask = reduced.mask(best.items());
    return complete ? make_optimal_result(problem.dag, std::move(mask))
                    : make_result(problem.dag, std::move(mask), bound);
  };
  if (!diagram) {
    best.choose_again(max_search_nodes);
    select_detail::BranchAndBound search(reduced, max_search_nodes);
    if (search.improve(best.importance())) best = select_detail::PartialSelection(reduced, search.chosen());
    return finish(search.complete(), search.bound());
  }

  select_detail::DiagramSearch search(reduced, *diagram);
  const auto improve = [&](std::size_t pairs) {
    if (search.improve(best.importance(), pairs)) best = select_detail::PartialSelection(reduced, search.chosen());
    return search.complete();
  };
  if (improve(max_pairs / 16)) return finish(true, 0);
  // A hard case. A better incumbent keeps the search from looking too deep.
  std::optional<select_detail::SelectionDiagram> finer;
  if (!diagram->whole_steps) {
    // Merging partial decisions rounds as well: half of the promised step for that, half for the items.
    step = step_for(2 * budget_steps);
    finer = select_detail::find_diagram(*this, reduced, step);
  }
  const bool exact = step == divisor;
  auto in_steps = select_detail::select_in_steps(reduced, finer ? *finer : *diagram, step, exact);
  if (in_steps.importance() > best.importance()) best = std::move(in_steps);
  return finish(exact || improve(max_pairs), search.bound());
}

}  // namespace greentrainer
