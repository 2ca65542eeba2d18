#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/cost/time_cost.hpp"
#include "greentrainer/train/ending.hpp"
#include "greentrainer/train/make_prefix_store.hpp"
#include "greentrainer/train/plan_run.hpp"
#include "greentrainer/train/tensor_choice.hpp"
#include "greentrainer/train/training_pass.hpp"

namespace greentrainer {

/// The prices of a run: a cost model for its passes, and the costs besides, in the same unit.
template <class C>
struct RunCost {
  C passes;
  UpdatePrice update = {};  ///< with what clipping takes
  std::int64_t per_batch = 0;
};

/// FLOPs of a run with these options. The optimizer must outlive them.
template <Backend B>
RunCost<ExactCost<B>> run_flops(const Optimizer<B>& optimizer, const FitOptions& options) {
  const Flops clipping = options.clip_norm > 0 ? clipping_flops_per_element : 0;
  return {.passes = {}, .update = [&optimizer, clipping](const Parameter& p) {
            return (CheckedInteger(optimizer.update_flops(p)) + CheckedInteger(p.size()) * clipping).value();
          }};
}

/// Picoseconds of a run with these options, as measured. Throws ConfigError where updates as this optimizer makes them
/// were not measured.
template <Backend B>
RunCost<TimeCost<B>> run_times(const std::shared_ptr<const OperatorTimes>& times, const Optimizer<B>& optimizer,
                               const FitOptions& options) {
  const auto update =
      times->per_update.find(update_key(optimizer.flops_per_element(), optimizer.state_bytes_per_element()));
  if (update == times->per_update.end()) {
    throw ConfigError("fit", "budget",
                      text("expected times of updates as ", optimizer.description(),
                           " makes them, got others; calibrate with this optimizer"));
  }
  const double clipping = options.clip_norm > 0 ? times->per_clipped : 0;
  return {.passes = TimeCost<B>(times),
          .update = [per_element = std::llround(update->second + clipping)](
                        const Parameter& p) { return (CheckedInteger(p.size()) * per_element).value(); },
          .per_batch = std::llround(times->per_pass)};
}

/// The costs that a fit's budget is compared with, before any step is made, in the unit of the cost model. The objects
/// that it is made of must outlive it.
template <Backend B, class C = ExactCost<B>>
class RunPricing {
 public:
  RunPricing(const Model<B>& model, const TensorChoice<B>& choice, const FitOptions& options, RunCost<C> cost)
      : model_(&model), choice_(&choice), options_(&options), cost_(std::move(cost)) {}
  /// With an ending, which must outlive it. Null: none.
  void use_ending(const Ending<B>* ending) { ending_ = ending; }
  /// Whether the ending is as long as the budget allows.
  bool takes_rest() const { return ending_ != nullptr && !ending_->options.share; }

  /// FLOPs of forward and backward of full fine-tuning: of the model without what was added to it.
  static LinearCost full_cost(const Model<B>& model) {
    return model.facts().full_cost ? *model.facts().full_cost : full_fine_tuning_cost(model.graph(), ExactCost<B>{});
  }

  /// Of the model's attention: see TensorGraph::window.
  Extent window() const { return model_->graph().window(); }

  /// Of updating a selection once.
  std::int64_t update(const Selection& selection) const {
    return update_price(model_->graph(), selection, cost_.update);
  }
  /// FLOPs of full fine-tuning on these batches, updates included. Requires that the cost's unit is FLOPs.
  Flops full(const TrainingBatches& batches) const {
    const Selection own = select_where(model_->graph(), [](const Parameter& p) { return !p.is_adapter(); });
    CheckedInteger total = CheckedInteger(batches.steps()) * update(own);
    total += evaluate(full_cost(*model_), batches.workload_of_steps(0, batches.steps()));
    return total.value();
  }
  /// Of the first so many steps. Where the selection is fixed, in FLOPs exactly so many. Where tensors are chosen at
  /// most so many, if the selector keeps to its budget; updates are then priced as if all tensors were chosen. The
  /// ending is among them where it is a share of the steps.
  std::int64_t steps(const TrainingBatches& batches, Extent steps) const {
    CheckedInteger total =
        choice_->fixed() != nullptr ? of_selection(batches, *choice_->fixed(), steps) : at_most(batches, steps);
    if (ending_ != nullptr) total += ending(batches, steps, ending_->options.steps(steps));
    return (total + CheckedInteger(batches.workload_of_steps(0, steps)[Measure::steps]) * cost_.per_batch).value();
  }

  /// What the ending's gradients of the last so many of the first `steps` steps cost beyond those before the ending.
  /// Requires an ending and a fixed selection, with nothing cached.
  std::int64_t ending(const TrainingBatches& batches, Extent steps, Extent count) const {
    const Selection& selection = *choice_->fixed();
    const auto of = [&](const TensorGraph<B>& graph) {
      return training_costs(graph, selection, std::nullopt, {}, cost_.passes).above;
    };
    const Workload workload = batches.workload_of_steps(steps - count, steps);
    return evaluate(of(ending_->model.graph()), workload) - evaluate(of(model_->graph()), workload);
  }

 private:
  CheckedInteger of_selection(const TrainingBatches& batches, const Selection& selection, Extent steps) const {
    const auto& graph = model_->graph();
    if (choice_->rotation() != nullptr) return of_rounds(batches, selection, steps);
    const Workload workload = batches.workload_of_steps(0, steps);
    std::vector<CutForecast> forecasts;
    if (const auto room = planned_prefix_room<B>(*options_))
      forecasts = forecast_cache(graph, cacheable_cuts(graph), *room, batches, 0, steps);
    const auto cut = best_cut(graph, ExactCost<B>{}, workload, forecasts, selection);  // as training takes it
    const TrainingCosts costs = training_costs(graph, selection, cut, {}, cost_.passes);
    CheckedInteger total = CheckedInteger(steps) * update(selection);
    total += evaluate(costs.above, workload);
    for (const CutForecast& f : forecasts) {
      if (cut && f.cut == *cut) total += evaluate(costs.below, f.computed);
    }
    return total;
  }
  /// With other branches detached in each round, and nothing cached.
  CheckedInteger of_rounds(const TrainingBatches& batches, const Selection& selection, Extent steps) const {
    CheckedInteger total = CheckedInteger(steps) * update(selection);
    for (Extent first = 0, end = 0; first < steps; first = end) {
      const auto round = choice_->round(first, batches);
      end = std::min(steps, round.end);
      const Selection drawn(selection.mask(), choice_->detached(round.first));
      const TrainingCosts costs = training_costs(model_->graph(), drawn, std::nullopt, {}, cost_.passes);
      total += evaluate(costs.above, batches.workload_of_steps(first, end));
    }
    return total;
  }
  CheckedInteger at_most(const TrainingBatches& batches, Extent steps) const {
    const auto& graph = model_->graph();
    const LinearCost everything = full_fine_tuning_cost(graph, cost_.passes);
    const LinearCost ratio_is_of = std::is_same_v<C, ExactCost<B>> ? full_cost(*model_) : everything;
    CheckedInteger total = CheckedInteger(steps) * update(select_all(graph));
    for (Extent first = 0, end = 0; first < steps; first = end) {
      const auto round = choice_->round(first, batches, steps);
      end = round.end;
      const Workload workload = batches.workload_of_steps(first, end);
      total += importance(batches, round, evaluate(everything, workload), workload);
      total += choice_->ratio_is_of_flops() ? within_ratio(round.flops_ratio, evaluate(ratio_is_of, workload))
                                            : evaluate(everything, workload);
    }
    return total;
  }
  /// FLOPs are known; other prices of them are as those of full fine-tuning. `full`: of this workload.
  std::int64_t importance(const TrainingBatches& batches, const typename TensorChoice<B>::Round& round,
                          std::int64_t full, const Workload& workload) const {
    const Flops flops = choice_->importance_flops(batches, round);
    if constexpr (std::is_same_v<C, ExactCost<B>>) return flops;
    const auto full_flops = static_cast<double>(full_pass_flops(model_->graph(), workload));
    return std::llround(static_cast<double>(flops) * (static_cast<double>(full) / full_flops));
  }

  const Model<B>* model_;
  const TensorChoice<B>* choice_;
  const FitOptions* options_;
  RunCost<C> cost_;
  const Ending<B>* ending_ = nullptr;
};

/// How many steps a fit takes within its budget, on batches of how many examples: as many passes over the data at every
/// batch size. `times`: for a budget in seconds or joules, and `at_power` for one in joules; else null. Looks at the
/// examples' lengths alone. Throws InfeasibleBudget, DataError without examples.
template <Backend B>
RunPlan plan_run(const RunPricing<B>& pricing, const RunPricing<B, TimeCost<B>>* times,
                 const RunPricing<B, TimeCost<B>>* at_power, std::span<const Example> examples,
                 const FitOptions& options) {
  FitOptions of_size = options;
  std::optional<TrainingBatches> batches;
  const auto of = [&](Extent size) -> const TrainingBatches& {
    if (batches && of_size.batch_size == size) return *batches;
    of_size.batch_size = size;
    of_size.steps = options.steps * options.batch_size / size;
    return batches.emplace(examples, of_size, pricing.window());
  };
  const auto steps = [&](Extent size) { return of(size).steps(); };
  RunPrices flops{.steps = steps, .price = [&](Extent size, Extent count) { return pricing.steps(of(size), count); }};
  if (pricing.takes_rest()) {
    flops.ending = [&](Extent size, Extent count, Extent ending) { return pricing.ending(of(size), count, ending); };
  }
  const RunPrices timed{.steps = steps,
                        .price = [&](Extent size, Extent count) { return times->steps(of(size), count); }};
  const RunPrices powered{.steps = steps,
                          .price = [&](Extent size, Extent count) { return at_power->steps(of(size), count); }};
  return plan_run(options.budget, options.batch_size, pricing.full(of(options.batch_size)), flops, timed, powered);
}

}  // namespace greentrainer
