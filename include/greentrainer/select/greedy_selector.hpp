#pragma once

#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/partial_selection.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// Importance per FLOP: starting with nothing, adds the item of the greatest importance per additional cost (its own
/// and that of the gradients it lacks) that still fits, until none does. A baseline: it never invests in a deep
/// gradient that only pays for several items together.
struct ImportancePerFlopSelector {
  /// Honours the true budget; `optimal` is false. Throws ConfigError if the problem is not valid. O(items^2 + nodes x
  /// items).
  SelectionResult select(const SelectionProblem& problem) const {
    const select_detail::ReducedProblem reduced = select_detail::reduce(problem);
    select_detail::PartialSelection selection(reduced);
    selection.fill_greedily();
    return make_result(problem.dag, reduced.mask(selection.items()));
  }
};

}  // namespace greentrainer
