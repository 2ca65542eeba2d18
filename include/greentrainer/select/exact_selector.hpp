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
#include "greentrainer/select/diagram_search.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/partial_selection.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// The best selection on the gradient graph: dynamic programming at exact costs along a decision diagram of which
/// gradients are computed, see docs/decisions/0003-exact-selection.md and 0021-proved-optimal.md; replaces the paper's
/// chain recursion.
///
/// What it promises:
/// - The true cost never exceeds the budget.
/// - `optimal` is said only where it is proved for the costs as given; `bound` is proved always.
/// - The search ends with a proof on models' graphs. Where it is cut off, after `max_pairs`, costs are rounded up to
/// steps of budget / budget_steps (or of their greatest common divisor, if that is larger, and then optimal after all),
/// and the result is worth at least as much as any selection whose cost plus one step for each of its items is within
/// the budget. What rounding leaves over is spent again at exact costs.
/// - Nothing is left out that would fit: no item of positive importance, with the gradients it lacks, fits into what is
/// not spent.
/// - Items whose importance is not positive are never chosen.
/// - On a DAG without structure (more than `max_states` partial decisions at once, whatever the order) it searches by
/// branch and bound and, if that is cut off, says `optimal = false`.
struct ExactSelector {
  std::size_t max_pairs = 20'000'000;    ///< of cost and importance that the search looks at, some 10 ns and at most 16
                                         ///< bytes each
  std::int64_t budget_steps = 10000;     ///< resolution of costs where it is cut off; time and memory are proportional
  std::size_t max_states = 512;          ///< arrays of budget_steps doubles alive at once
  std::size_t max_vertices = 40000;      ///< of the decision diagram; each takes some bits for each step
  std::size_t max_search_nodes = 20000;  ///< of the branch and bound

  /// Throws ConfigError if the problem is not valid (see validate()) or budget_steps is not positive.
  /// O(max_pairs + diagram vertices x items reachable at each x budget_steps): for a chain, items x budget_steps.
  SelectionResult select(const SelectionProblem& problem) const;

 private:
  static std::int64_t common_divisor(const select_detail::ReducedProblem& reduced);
  std::optional<select_detail::SelectionDiagram> find_diagram(const select_detail::ReducedProblem& reduced,
                                                              std::int64_t step) const;
  select_detail::PartialSelection select_in_steps(const select_detail::ReducedProblem& reduced,
                                                  const select_detail::SelectionDiagram& diagram, std::int64_t step,
                                                  bool exact) const;
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

/// By a knapsack with costs in whole steps; what rounding leaves over is spent again.
inline select_detail::PartialSelection ExactSelector::select_in_steps(const select_detail::ReducedProblem& reduced,
                                                                      const select_detail::SelectionDiagram& diagram,
                                                                      std::int64_t step, bool exact) const {
  const select_detail::DiagramKnapsack knapsack(reduced, diagram, step);
  select_detail::PartialSelection best(reduced);
  // Rounding can put the wrong one of several nearly equal depths first, so the first few are tried. When it is exact,
  // the first is the best.
  const std::size_t candidates = exact ? 1 : 4;
  for (std::size_t e = 0; e < std::min(candidates, knapsack.ends().size()); ++e) {
    select_detail::PartialSelection candidate(reduced, knapsack.trace(knapsack.ends()[e].second));
    if (!exact) {
      constexpr std::size_t knapsack_steps = 20000;
      candidate.choose_again(knapsack_steps);
      if (candidate.fill_greedily()) candidate.choose_again(knapsack_steps);
    }
    if (candidate.importance() > best.importance()) best = std::move(candidate);
  }
  return best;
}

inline SelectionResult ExactSelector::select(const SelectionProblem& problem) const {
  if (budget_steps <= 0)
    throw ConfigError("exact_selector", "budget_steps", text("expected 1 or more, got ", budget_steps));
  const select_detail::ReducedProblem reduced = select_detail::reduce(problem);
  if (select_detail::all_fits(reduced))
    return make_optimal_result(problem.dag, reduced.mask(select_detail::all_items(reduced)));

  const std::int64_t divisor = common_divisor(reduced);
  const std::int64_t units = reduced.budget / divisor;
  const auto step_for = [&](std::int64_t steps) {
    return divisor * std::max<std::int64_t>(1, units / steps + (units % steps != 0 ? 1 : 0));
  };
  std::int64_t step = step_for(budget_steps);
  auto diagram = find_diagram(reduced, step);

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
  // Hard: a better incumbent spares the search from looking too deep.
  std::optional<select_detail::SelectionDiagram> finer;
  if (!diagram->whole_steps) {
    // Merging partial decisions rounds as well: half of the promised step for that, half for the items.
    step = step_for(2 * budget_steps);
    finer = find_diagram(reduced, step);
  }
  const bool exact = step == divisor;
  auto in_steps = select_in_steps(reduced, finer ? *finer : *diagram, step, exact);
  if (in_steps.importance() > best.importance()) best = std::move(in_steps);
  return finish(exact || improve(max_pairs), search.bound());
}

}  // namespace greentrainer
