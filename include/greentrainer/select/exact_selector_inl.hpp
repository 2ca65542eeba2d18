#pragma once

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/select/block_diagram.hpp"
#include "greentrainer/select/block_search.hpp"
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

/// The problem with additive worth, each item worth `importance(item)`.
template <class Importance>
SelectionProblem with_additive_worth(SelectionProblem problem, const Importance& importance) {
  for (auto& item : problem.dag.items) {
    if (item.importance > 0) item.importance = importance(item);
  }
  problem.dag.worth = {};
  return problem;
}

/// Where concave worth cannot be searched block by block: the better of some choices by worths that add up, and a
/// bound.
inline SelectionResult select_by_additive_worths(const ExactSelector& selector, const SelectionProblem& problem,
                                                 const ReducedProblem& reduced, PartialSelection best) {
  const Worth& worth = problem.dag.worth;
  const auto choose = [&](const SelectionProblem& additive) {
    const SelectionResult result = selector.select(additive);
    std::vector<int> numbers;
    for (std::size_t i = 0; i < result.mask.size(); ++i) {
      if (result.mask[i]) numbers.push_back(static_cast<int>(i));
    }
    PartialSelection chosen(reduced, numbers);
    chosen.fill_greedily();
    if (chosen.importance() > best.importance()) best = std::move(chosen);
    return result.bound;
  };
  // Together, items of a block are worth no more than each for itself: a bound on everything.
  const double bound =
      choose(with_additive_worth(problem, [&](const auto& item) { return worth.of(item.importance); }));
  // And no less than their shares in what the whole block is worth.
  std::map<int, double> blocks;
  for (const auto& item : problem.dag.items) blocks[item.block] += std::max(0.0, item.importance);
  choose(with_additive_worth(problem, [&](const auto& item) {
    const double all = item.block < 0 ? item.importance : blocks.at(item.block);
    return item.importance / all * worth.of(all);
  }));
  auto mask = reduced.mask(best.items());
  if (bound <= best.importance() * (1 + importance_tolerance)) return make_optimal_result(problem.dag, std::move(mask));
  return make_result(problem.dag, std::move(mask), bound);
}

/// By a search at exact costs with blocks of concave worth.
inline SelectionResult select_by_worth(const ExactSelector& selector, const SelectionProblem& problem,
                                       const ReducedProblem& reduced) {
  PartialSelection best(reduced);
  best.fill_greedily();
  const std::int64_t step = std::max<std::int64_t>(1, reduced.budget / selector.budget_steps);
  const auto diagram = find_diagram(selector, reduced, step);
  std::optional<BlockDiagram> blocks;
  if (diagram) blocks = BlockDiagramBuilder(reduced, *diagram, selector.max_pairs / 4).build();
  if (!blocks) return select_by_additive_worths(selector, problem, reduced, std::move(best));

  BlockSearch search(reduced, *blocks);
  const auto improve = [&](BlockSearch& by, std::size_t pairs) {
    if (by.improve(best.importance(), pairs)) best = PartialSelection(reduced, by.chosen());
    return by.complete();
  };
  // Pairs are looked at once for each option of a block, so that a hard case takes longer than an additive one would.
  if (!improve(search, selector.max_pairs / 16)) {
    BlockSearch in_steps(reduced, *blocks, step);
    improve(in_steps, selector.max_pairs / 4);
    improve(search, selector.max_pairs / 8);
  }
  best.fill_greedily();  // what is worth less than the last digits of the sum
  auto mask = reduced.mask(best.items());
  return search.complete() ? make_optimal_result(problem.dag, std::move(mask))
                           : make_result(problem.dag, std::move(mask), search.bound());
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
  if (!reduced.worth.is_additive()) return select_detail::select_by_worth(*this, problem, reduced);

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
