#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "greentrainer/cost/memory_limit.hpp"
#include "greentrainer/importance/importance.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// What a fit on these batches, which evaluates these examples, asks of memory.
template <Backend B>
FitDemand fit_demand(const TensorGraph<B>& graph, const Optimizer<B>& optimizer, const TrainingBatches& batches,
                     std::span<const Example> evaluated, const FitOptions& options) {
  FitDemand demand{.limit = options.memory_limit,
                   .state_bytes_per_element = optimizer.state_bytes_per_element(),
                   .largest = batches.largest_batch(),
                   .evaluated = {},
                   .evaluation_batch = EvaluateOptions{}.batch_size};
  if (options.evaluate != Evaluations::none) {
    for (const Example& example : evaluated) demand.evaluated.push_back(workload_of(example));
  }
  Workload all;
  for (std::size_t i = 0; i < batches.examples().size(); ++i) all += batches.workload(i);
  demand.cached = [&graph, all, largest = demand.largest, limit = options.prefix_cache_limit](const Cut& cut) {
    return std::min(limit, PrefixCache<B>::example_bytes(graph, cut, all)) +
           PrefixCache<B>::example_bytes(graph, cut, largest);
  };
  return demand;
}

template <Backend B>
ImportanceDemand importance_demand(const TensorGraph<B>& graph, const Importance<B>& metric) {
  if (metric.full_passes() == 0) return {};
  return {.full_passes = metric.full_passes(),
          .gradient_elements = TransientGradients<B>::elements(graph) + metric.scratch_elements(graph),
          .saves_weights = metric.saves_weights()};
}

/// The tensor whose training takes least, and what it takes.
template <Backend B>
std::pair<Selection, Bytes> least_training(const TensorGraph<B>& graph, const MemoryLimit<B>& memory) {
  std::pair<Selection, Bytes> least(select_none(graph), std::numeric_limits<Bytes>::max());
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    Selection one = select_none(graph);
    one.insert(id);
    const Bytes taken = memory.plain_training(one).total();
    if (taken < least.second) least = {std::move(one), taken};
  }
  return least;
}

/// Throws InfeasibleMemory where the limit is less than some phase takes at least. `fixed`: the selection of a fit that
/// chooses none; else importances are evaluated, `again` for another selection, too.
template <Backend B>
void expect_feasible(const TensorGraph<B>& graph, const MemoryLimit<B>& memory, const std::optional<Selection>& fixed,
                     const ImportanceDemand& metric, bool again, Evaluations evaluate) {
  const auto [held, training] =
      fixed ? std::pair(*fixed, memory.training(*fixed, {}).memory.total()) : least_training(graph, memory);
  const Selection none = select_none(graph);
  const Bytes importance = fixed ? 0 : memory.importance(metric, again ? held : none, {}).memory.total();
  const Bytes evaluation = evaluate == Evaluations::none
                               ? 0
                               : memory.evaluation(1, evaluate == Evaluations::before ? none : held, {}).total();
  const Bytes most = std::max({evaluation, importance, training});
  if (most <= memory.limit()) return;
  throw InfeasibleMemory("fit", memory.limit(), most,
                         most == evaluation   ? "an evaluation of one example at a time"
                         : most == importance ? "the evaluation of importances"
                         : fixed              ? "training the selection"
                                              : "training the smallest tensor");
}

}  // namespace greentrainer
