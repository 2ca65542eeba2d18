#pragma once

#include <optional>
#include <string>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/recomputation.hpp"
#include "greentrainer/train/cache_forecast.hpp"

namespace greentrainer {

/// Cost of training one selection for a whole run.
struct RunForecast {
  std::vector<Flops> epochs;  ///< forward and backward passes of each; the last may be cut short by the steps
  Flops full = 0;             ///< of full fine-tuning, for all
  Flops saved = 0;            ///< of forward passes that cached values make needless, of all
  Bytes cached_bytes = 0;     ///< that the cache has in the end

  Flops total() const {
    Flops sum = 0;
    for (const Flops epoch : epochs) sum += epoch;
    return sum;
  }
  double ratio() const { return static_cast<double>(total()) / static_cast<double>(full); }
};

/// The FLOPs that a Trainer executes and reports, if it trains this selection from its first step to its last, with the
/// values at `cut` cached in this room and segments that are `dropped` computed again; nothing is cached without a cut.
/// `full`: the cost of full fine-tuning (full_fine_tuning_cost), which ratios are of.
/// Throws ConfigError for a selection that trains below the cut.
template <class P>
RunForecast forecast_run(const TensorGraph<P>& graph, const Selection& selection, const std::optional<Cut>& cut,
                         const PrefixRoom& room, const TrainingBatches& batches, const LinearCost& full,
                         const std::vector<DroppedSegment>& dropped = {}) {
  const ExactCost<P> cost;
  PassPlan plan = with_recomputation(graph, training_plan(graph, selection), dropped);
  LinearCost below;
  std::optional<CacheFill<P>> fill;
  if (cut) {
    below = pass_cost(graph, plan_below(graph, *cut), cost).total();
    plan = plan_above(graph, std::move(plan), *cut);
    fill.emplace(graph, *cut, room, batches);
  }
  const LinearCost above = pass_cost(graph, plan, cost).total();

  RunForecast forecast;
  for (Extent first = 0; first < batches.steps(); first += batches.steps_per_epoch()) {
    const Extent end = std::min(batches.steps(), first + batches.steps_per_epoch());
    const Workload all = batches.workload_of_steps(first, end);
    Flops computed = 0;
    if (fill) {
      const Workload before = fill->computed();
      batches.for_each_batch(first, end, [&](std::span<const std::size_t> numbers) { fill->read(numbers); });
      computed = evaluate(below, fill->computed() - before);
    }
    forecast.epochs.push_back(evaluate(above, all) + computed);
    forecast.saved += evaluate(below, all) - computed;
    forecast.full += evaluate(full, all);
  }
  if (fill) forecast.cached_bytes = fill->bytes();
  return forecast;
}

}  // namespace greentrainer
