#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/select/branch_and_bound.hpp"
#include "greentrainer/select/diagram_knapsack.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/partial_selection.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// The best selection on the gradient graph. Knapsack dynamic programming along a decision diagram of which gradients
/// are computed, see docs/decisions/0003-exact-selection.md; replaces the paper's chain recursion.
///
/// What it promises:
/// - The true cost never exceeds the budget.
/// - Where the costs, or their greatest common divisor, divide the budget into no more than `budget_steps` steps, the
/// result is optimal.
/// - Otherwise costs are rounded up to steps of budget / budget_steps, and the result is worth at least as much as any
/// selection whose cost
///   plus one step for each of its items is within the budget. What rounding leaves over is spent again at exact costs.
///   Problems of some dozen items are searched to the end besides, and then optimal after all.
/// - Nothing is left out that would fit: no item of positive importance, with the gradients it lacks, fits into what is
/// not spent. Where single
///   items are small beside the budget, as in real models, more than 97% of what could be spent is spent.
/// - Items whose importance is not positive are never chosen.
/// - On a DAG without structure (more than `max_states` partial decisions at once, whatever the order) it searches by
/// branch and bound and, if
///   that is cut off, says `optimal = false`.
struct ExactSelector {
  std::int64_t budget_steps = 10000;     ///< resolution of costs; time and memory are proportional
  std::size_t max_states = 512;          ///< arrays of budget_steps doubles alive at once
  std::size_t max_vertices = 40000;      ///< of the decision diagram; each takes some bits for each step
  std::size_t max_search_nodes = 20000;  ///< of the branch and bound

  /// Throws ConfigError if the problem is not valid (see validate()) or budget_steps is not positive.
  /// O(diagram vertices x items reachable at each x budget_steps): for a chain, items x budget_steps.
  SelectionResult select(const SelectionProblem& problem) const;

 private:
  static std::int64_t common_divisor(const select_detail::ReducedProblem& reduced);
  std::optional<select_detail::SelectionDiagram> find_diagram(const select_detail::ReducedProblem& reduced,
                                                              std::int64_t step) const;
};

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

}  // namespace select_detail

inline std::int64_t ExactSelector::common_divisor(const select_detail::ReducedProblem& reduced) {
  std::int64_t divisor = 0;
  for (const auto& node_class : reduced.classes) divisor = std::gcd(divisor, node_class.cost);
  for (const auto& group : reduced.groups) {
    for (const auto& item : group.items) divisor = std::gcd(divisor, item.cost);
  }
  return std::max<std::int64_t>(divisor, 1);
}

inline std::optional<select_detail::SelectionDiagram> ExactSelector::find_diagram(
    const select_detail::ReducedProblem& reduced, std::int64_t step) const {
  // Backward order suits graphs built in that order. Deciding a class at its last node, not its first, lets what spans
  // many stages (an encoder's gradient through all cross-attentions) wait until they are known.
  auto diagram = select_detail::SelectionDiagram::build(reduced, select_detail::backward_order(reduced, true), step,
                                                        max_vertices, max_states);
  if (!diagram) {
    const auto order = select_detail::narrow_order(reduced, max_states);
    diagram = select_detail::SelectionDiagram::build(reduced, order, step, max_vertices, max_states);
  }
  return diagram;
}

inline SelectionResult ExactSelector::select(const SelectionProblem& problem) const {
  if (budget_steps <= 0)
    throw ConfigError("exact_selector", "budget_steps", text("expected 1 or more, got ", budget_steps));
  const select_detail::ReducedProblem reduced = select_detail::reduce(problem);
  if (select_detail::all_fits(reduced))
    return make_result(problem.dag, reduced.mask(select_detail::all_items(reduced)), true);

  const std::int64_t divisor = common_divisor(reduced);
  const std::int64_t units = reduced.budget / divisor;
  const auto step_for = [&](std::int64_t steps) {
    return divisor * std::max<std::int64_t>(1, units / steps + (units % steps != 0 ? 1 : 0));
  };
  std::int64_t step = step_for(budget_steps);
  auto diagram = find_diagram(reduced, step);
  if (diagram && !diagram->whole_steps) {
    // Merging partial decisions rounds as well: half of the promised step for that, half for the items.
    step = step_for(2 * budget_steps);
    diagram = find_diagram(reduced, step);
  }

  if (!diagram) {
    select_detail::PartialSelection greedy(reduced);
    greedy.fill_greedily();
    greedy.choose_again(max_search_nodes);
    select_detail::BranchAndBound search(reduced, max_search_nodes);
    if (search.improve(greedy.importance())) greedy = select_detail::PartialSelection(reduced, search.chosen());
    greedy.fill_greedily();
    return make_result(problem.dag, reduced.mask(greedy.items()), search.complete());
  }

  const select_detail::DiagramKnapsack knapsack(reduced, *diagram, step);
  std::optional<select_detail::PartialSelection> best;
  // Rounding can put the wrong one of several nearly equal depths first, so the first few are tried. When it is exact,
  // the first is the best.
  const std::size_t candidates = step == divisor ? 1 : 4;
  for (std::size_t e = 0; e < std::min(candidates, knapsack.ends().size()); ++e) {
    select_detail::PartialSelection candidate(reduced, knapsack.trace(knapsack.ends()[e].second));
    if (step != divisor) {
      constexpr std::size_t knapsack_steps = 20000;
      candidate.choose_again(knapsack_steps);
      if (candidate.fill_greedily()) candidate.choose_again(knapsack_steps);
    }
    candidate.fill_greedily();
    if (!best || candidate.importance() > best->importance()) best = std::move(candidate);
  }
  // Small problems are finished off: there, a search that starts with the result at hand soon ends, and then nothing
  // was lost to rounding at all.
  constexpr std::size_t small_problem = 40;
  if (step != divisor && select_detail::all_items(reduced).size() <= small_problem) {
    select_detail::BranchAndBound search(reduced, std::min<std::size_t>(max_search_nodes, 2000));
    if (search.improve(best->importance())) best.emplace(reduced, search.chosen());
  }
  return make_result(problem.dag, reduced.mask(best->items()), true);
}

}  // namespace greentrainer
