#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/train/run_budget.hpp"

namespace greentrainer {

/// Cost of a run by batch size, without evaluation. Neither function falls with larger batches or more steps.
struct RunPrices {
  std::function<Extent(Extent batch_size)> steps;                      ///< of the run as asked for: as many passes
                                                                       ///< over the data
  std::function<std::int64_t(Extent batch_size, Extent steps)> price;  ///< of its first so many steps
  /// What an ending of so many of these steps takes beyond that; none: no ending takes what the budget leaves.
  std::function<std::int64_t(Extent batch_size, Extent steps, Extent ending)> ending = {};
};

/// What updating a parameter once takes.
using UpdatePrice = std::function<std::int64_t(const Parameter&)>;

/// What updating a selection once takes.
template <class P>
std::int64_t update_price(const TensorGraph<P>& graph, const Selection& selection, const UpdatePrice& price) {
  CheckedInteger total = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) total += price(graph.parameter(id));
  }
  return total.value();
}

/// FLOPs of clipping, for each element.
inline constexpr Flops clipping_flops_per_element = 3;

/// The most steps within a budget. Never asks for a price far beyond it, which might overflow.
inline Extent steps_within(std::int64_t budget, Extent batch_size, const RunPrices& prices) {
  const Extent asked = prices.steps(batch_size);
  Extent paid = 0, too_many = asked + 1;
  for (Extent steps = 1; paid < asked && too_many > asked; steps = std::min(asked, 2 * steps))
    (prices.price(batch_size, steps) <= budget ? paid : too_many) = steps;
  while (too_many - paid > 1) {
    const Extent steps = paid + (too_many - paid) / 2;
    (prices.price(batch_size, steps) <= budget ? paid : too_many) = steps;
  }
  return paid;
}

namespace detail {

/// Sets the largest batch size with which the steps asked for fit, or the next larger one: whichever makes their number
/// come nearer, as a ratio.
inline void take_smaller_batches(RunPlan& plan, std::int64_t budget, const RunPrices& prices) {
  struct Size {
    Extent batch_size = 0, steps = 0;
  };
  const Extent asked = plan.steps;
  const auto with = [&](Extent size) { return Size{size, steps_within(budget, size, prices)}; };
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

namespace detail {

/// The longest ending of a planned run that its budget pays for.
inline void take_ending(RunPlan& plan, const RunPrices& prices) {
  const auto total = [&](Extent ending) { return plan.planned + prices.ending(plan.batch_size, plan.steps, ending); };
  Extent paid = 0, too_many = plan.steps + 1;
  while (too_many - paid > 1) {
    const Extent ending = paid + (too_many - paid) / 2;
    (total(ending) <= plan.budget ? paid : too_many) = ending;
  }
  plan.ending_steps = paid;
  if (paid > 0) plan.planned = total(paid);
}

}  // namespace detail

inline constexpr double picoseconds = 1e12;  ///< in a second

/// Decides how many steps a run takes, and on batches of how many examples, so that what they cost stays within the
/// budget. `batch_size`: as asked for. `full`: FLOPs of full fine-tuning of the run as asked for, with its updates.
/// `flops`, `times`, `at_power`: its prices in FLOPs; for a budget in seconds or joules in picoseconds; for one in
/// joules in picoseconds at the mean power, see at_mean_power. A run that fits into its budget is left as it is, and
/// not made longer; what a budget in FLOPs leaves goes into its ending, where it has one. Throws InfeasibleBudget where
/// not even one step fits.
inline RunPlan plan_run(const RunBudget& budget, Extent batch_size, Flops full, const RunPrices& flops,
                        const RunPrices& times = {}, const RunPrices& at_power = {}) {
  RunPlan plan{.steps = flops.steps(batch_size), .batch_size = batch_size, .budget = budget.flops, .full = full};
  if (budget.share_of_full > 0) {
    const auto share = static_cast<long double>(budget.share_of_full) * static_cast<long double>(full);
    plan.budget = static_cast<Flops>(std::min(std::floor(share), 9.0e18L));
  }
  const bool timed = budget.is_timed();
  const double watts = budget.joules > 0 ? budget.times->watts : 0;
  const double seconds = watts > 0 ? budget.joules / watts : budget.seconds;
  const RunPrices& prices = watts > 0 ? at_power : timed ? times : flops;
  const std::int64_t limit = timed ? static_cast<std::int64_t>(seconds * picoseconds) : plan.budget;
  if (budget.is_set()) {
    const Extent paid = steps_within(limit, batch_size, prices);
    if (budget.cuts == BudgetCuts::steps)
      plan.steps = paid;
    else if (paid < plan.steps)
      detail::take_smaller_batches(plan, limit, prices);
  }
  if (plan.steps == 0) {
    const Extent smallest = budget.cuts == BudgetCuts::steps ? batch_size : 1;
    const std::int64_t least = prices.price(smallest, 1);
    const double least_seconds = static_cast<double>(least) / picoseconds;
    if (watts > 0) throw InfeasibleBudget(budget.joules, least_seconds * watts, smallest, "joules");
    if (timed) throw InfeasibleBudget(budget.seconds, least_seconds, smallest, "seconds");
    throw InfeasibleBudget(plan.budget, least, smallest, full);
  }
  plan.planned = flops.price(plan.batch_size, plan.steps);
  if (flops.ending && plan.budget > 0) detail::take_ending(plan, flops);
  if (timed) {
    plan.seconds = budget.seconds;
    plan.joules = budget.joules;
    plan.planned_seconds = static_cast<double>(times.price(plan.batch_size, plan.steps)) / picoseconds;
    if (watts > 0)
      plan.planned_joules = static_cast<double>(at_power.price(plan.batch_size, plan.steps)) / picoseconds * watts;
  }
  return plan;
}

}  // namespace greentrainer
