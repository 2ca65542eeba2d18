#pragma once

#include <cstddef>
#include <cstdint>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// The best selection on the gradient graph: dynamic programming at exact costs along a decision diagram of which
/// gradients are computed, see docs/decisions/0003-exact-selection.md and 0021-proved-optimal.md; replaces the paper's
/// chain recursion.
///
/// What it promises:
/// - The true cost never exceeds the budget.
/// - `optimal` is true only where that is proved for the costs as given; `bound` always holds.
/// - The search ends with a proof on models' graphs. Where it is cut off, after `max_pairs`, costs are rounded up to
/// steps of budget / budget_steps (or of their greatest common divisor, if that is larger, and then optimal after all),
/// and the result is worth at least as much as any selection whose cost plus one step for each of its items is within
/// the budget. What rounding leaves over is spent again at exact costs.
/// - Nothing is left out that would fit: no item of positive importance, with the gradients it lacks, fits into what is
/// not spent.
/// - Items whose importance is not positive are never chosen.
/// - With a concave worth of blocks (GradientDag::worth) all of this holds of worth, where the search is not cut off;
/// where it is, lists keep one pair for each step of the budget, and `optimal` is false. See
/// docs/decisions/0038-concave-worths.md.
/// - On a DAG without structure (more than `max_states` partial decisions at once, whatever the order) it searches by
/// branch and bound and, if that is cut off, says `optimal = false`.
struct ExactSelector {
  std::size_t max_pairs = 20'000'000;    ///< pairs of cost and importance that are looked at before the search is cut
                                         ///< off: about 10 ns and at most 16 bytes each
  std::int64_t budget_steps = 10000;     ///< resolution of costs where it is cut off; time and memory are proportional
  std::size_t max_states = 512;          ///< arrays of budget_steps doubles alive at once
  std::size_t max_vertices = 40000;      ///< of the decision diagram; each takes some bits for each step
  std::size_t max_search_nodes = 20000;  ///< of the branch and bound

  /// Throws ConfigError if the problem is not valid (see validate()) or budget_steps is not positive.
  /// O(max_pairs + diagram vertices x items reachable at each x budget_steps): for a chain, items x budget_steps.
  SelectionResult select(const SelectionProblem& problem) const;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/select/exact_selector_inl.hpp"
#endif
