#pragma once

#include <optional>
#include <span>
#include <vector>

#include "greentrainer/train/make_prefix_store.hpp"
#include "greentrainer/train/plan_run.hpp"
#include "greentrainer/train/tensor_choice.hpp"
#include "greentrainer/train/training_pass.hpp"

namespace greentrainer {

/// FLOPs that a fit's budget is taken from, before any step is made. What it looks at must outlive it.
template <Backend B>
class RunPricing {
 public:
  RunPricing(const Model<B>& model, const Optimizer<B>& optimizer, const TensorChoice<B>& choice,
             const FitOptions& options)
      : model_(&model), optimizer_(&optimizer), choice_(&choice), options_(&options) {}

  /// Of forward and backward of full fine-tuning: of the model without what was added to it.
  static LinearCost full_cost(const Model<B>& model) {
    return model.facts().full_cost ? *model.facts().full_cost : full_fine_tuning_cost(model.graph(), ExactCost<B>{});
  }

  /// Of the model's attention: see TensorGraph::window.
  Extent window() const { return model_->graph().window(); }

  /// Of updating a selection once.
  Flops update(const Selection& selection) const {
    return update_flops(model_->graph(), selection, optimizer_->flops_per_element(), options_->clip_norm > 0);
  }
  /// Of full fine-tuning on these batches, updates included.
  Flops full(const TrainingBatches& batches) const {
    const Selection own = select_where(model_->graph(), [](const Parameter& p) { return !p.is_adapter(); });
    CheckedInteger total = CheckedInteger(batches.steps()) * update(own);
    total += evaluate(full_cost(*model_), batches.workload_of_steps(0, batches.steps()));
    return total.value();
  }
  /// Of the first so many steps: exactly, where the selection is fixed. Where tensors are chosen at most so many, if
  /// the selector keeps to its budget; updates are then priced as if all tensors were chosen.
  Flops steps(const TrainingBatches& batches, Extent steps) const {
    return choice_->fixed() != nullptr ? of_selection(batches, *choice_->fixed(), steps) : at_most(batches, steps);
  }

 private:
  Flops of_selection(const TrainingBatches& batches, const Selection& selection, Extent steps) const {
    const auto& graph = model_->graph();
    const Workload workload = batches.workload_of_steps(0, steps);
    std::vector<CutForecast> forecasts;
    if (const auto room = planned_prefix_room<B>(*options_))
      forecasts = forecast_cache(graph, cacheable_cuts(graph), *room, batches, 0, steps);
    const auto cut = best_cut(graph, ExactCost<B>{}, workload, forecasts, selection);
    const TrainingCosts costs = training_costs(graph, selection, cut);
    CheckedInteger total = CheckedInteger(steps) * update(selection);
    total += evaluate(costs.above, workload);
    for (const CutForecast& f : forecasts) {
      if (cut && f.cut == *cut) total += evaluate(costs.below, f.computed);
    }
    return total.value();
  }
  Flops at_most(const TrainingBatches& batches, Extent steps) const {
    const auto& graph = model_->graph();
    CheckedInteger total = CheckedInteger(steps) * update(select_all(graph));
    for (Extent first = 0, end = 0; first < steps; first = end) {
      auto round = choice_->round(first, batches);
      end = round.end = std::min(steps, round.end);
      const Workload workload = batches.workload_of_steps(first, end);
      total += choice_->importance_flops(batches, round);
      total += choice_->ratio_is_of_flops()
                   ? within_ratio(choice_->flops_ratio(), evaluate(full_cost(*model_), workload))
                   : full_pass_flops(graph, workload);
    }
    return total.value();
  }

  const Model<B>* model_;
  const Optimizer<B>* optimizer_;
  const TensorChoice<B>* choice_;
  const FitOptions* options_;
};

/// How many steps a fit takes within its budget, on batches of how many examples: as many passes over the data at every
/// batch size. Looks at the examples' lengths alone. Throws InfeasibleBudget, DataError without examples.
template <Backend B>
RunPlan plan_run(const RunPricing<B>& pricing, std::span<const Example> examples, const FitOptions& options) {
  FitOptions of_size = options;
  std::optional<TrainingBatches> batches;
  const auto of = [&](Extent size) -> const TrainingBatches& {
    if (batches && of_size.batch_size == size) return *batches;
    of_size.batch_size = size;
    of_size.steps = options.steps * options.batch_size / size;
    return batches.emplace(examples, of_size, pricing.window());
  };
  const RunPrices prices{.steps = [&](Extent size) { return of(size).steps(); },
                         .flops = [&](Extent size, Extent steps) { return pricing.steps(of(size), steps); }};
  return plan_run(options.budget, options.batch_size, pricing.full(of(options.batch_size)), prices);
}

}  // namespace greentrainer
