#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/train/run_budget.hpp"

namespace greentrainer {

/// What a run takes at a batch size, evaluation apart. Neither falls where batches are larger or steps more.
struct RunPrices {
  std::function<Extent(Extent batch_size)> steps;  ///< of the run as asked for: as many passes over the data
  std::function<Flops(Extent batch_size, Extent steps)> flops;  ///< of its first so many steps
};

/// FLOPs of updating a selection once, at so many for each element; clipping takes 3 more.
template <class P>
Flops update_flops(const TensorGraph<P>& graph, const Selection& selection, Flops per_element, bool clips) {
  CheckedInteger elements = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) elements += graph.parameter(id).size();
  }
  return (elements * (per_element + (clips ? 3 : 0))).value();
}

/// The most steps within a budget.
inline Extent steps_within(Flops budget, Extent batch_size, const RunPrices& prices) {
  Extent paid = 0, too_many = prices.steps(batch_size) + 1;
  while (too_many - paid > 1) {
    const Extent steps = paid + (too_many - paid) / 2;
    (prices.flops(batch_size, steps) <= budget ? paid : too_many) = steps;
  }
  return paid;
}

namespace detail {

/// Sets the largest batch size with which the steps asked for fit, or the next larger one: whichever makes their number
/// come nearer, as a ratio.
inline void take_smaller_batches(RunPlan& plan, const RunPrices& prices) {
  struct Size {
    Extent batch_size = 0, steps = 0;
  };
  const Extent asked = plan.steps;
  const auto with = [&](Extent size) { return Size{size, steps_within(plan.budget, size, prices)}; };
  Size fits, too_large = with(plan.batch_size);
  while (too_large.batch_size - fits.batch_size > 1) {
    const Size size = with(fits.batch_size + (too_large.batch_size - fits.batch_size) / 2);
    (size.steps >= asked ? fits : too_large) = size;
  }
  const auto number = [](Extent steps) { return static_cast<long double>(steps); };
  const bool nearer = number(too_large.steps) * number(fits.steps) >= number(asked) * number(asked);
  const Size& chosen = fits.batch_size == 0 || nearer ? too_large : fits;
  plan.steps = chosen.steps;
  plan.batch_size = chosen.batch_size;
}

}  // namespace detail

/// Decides how many steps a run takes, and on batches of how many examples, so that what they cost stays within the
/// budget. `batch_size`: as asked for. `full`: FLOPs of full fine-tuning of the run as asked for, with its updates. A
/// run that its budget pays for is taken as it is, and no longer. Throws InfeasibleBudget where not even one step fits.
inline RunPlan plan_run(const RunBudget& budget, Extent batch_size, Flops full, const RunPrices& prices) {
  RunPlan plan{.steps = prices.steps(batch_size), .batch_size = batch_size, .budget = budget.flops, .full = full};
  if (budget.share_of_full > 0) {
    const auto share = static_cast<long double>(budget.share_of_full) * static_cast<long double>(full);
    plan.budget = static_cast<Flops>(std::min(std::floor(share), 9.0e18L));
  }
  plan.planned = prices.flops(batch_size, plan.steps);
  if (!budget.is_set() || plan.planned <= plan.budget) return plan;
  if (budget.cuts == BudgetCuts::steps)
    plan.steps = steps_within(plan.budget, batch_size, prices);
  else
    detail::take_smaller_batches(plan, prices);
  if (plan.steps == 0) {
    const Extent smallest = budget.cuts == BudgetCuts::steps ? batch_size : 1;
    throw InfeasibleBudget(plan.budget, prices.flops(smallest, 1), smallest, full);
  }
  plan.planned = prices.flops(plan.batch_size, plan.steps);
  return plan;
}

}  // namespace greentrainer
