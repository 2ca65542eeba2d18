#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "greentrainer/cost/memory_limit.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/tensor_choice.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// What an optimizer, which must outlive it, holds for parameters of a graph.
template <Backend B>
UpdateMemory update_memory(const Optimizer<B>& optimizer, const TensorGraph<B>& graph) {
  return {[&optimizer](const Parameter& p) { return optimizer.state_bytes_of(p); }, optimizer.scratch_bytes(graph)};
}

/// The memory that a fit on these batches takes. `cache`: where values are kept, or null.
template <Backend B>
FitDemand fit_demand(const TensorGraph<B>& graph, const TrainingBatches& batches, std::span<const Example> evaluated,
                     const FitOptions& options, UpdateMemory updates, const PrefixCache<B>* cache) {
  FitDemand demand{.limit = options.memory_limit,
                   .updates = std::move(updates),
                   .largest = batches.largest_batch(),
                   .largest_measured = batches.largest_group(),
                   .evaluation_batch = EvaluateOptions{}.batch_size};
  if (options.evaluate == Evaluations::before || evaluates_trained(options)) {
    for (const Example& example : evaluated) demand.evaluated.push_back(workload_of(example, graph.window()));
  }
  if (cache == nullptr) return demand;
  Workload all;
  for (std::size_t i = 0; i < batches.count(); ++i) all += batches.workload(i);
  const PrefixRoom staged{.element_size = static_cast<Bytes>(sizeof(typename B::Scalar))};
  PrefixRoom kept = cache->room();
  if (options.prefix_cache == PrefixCacheMode::disk) kept.limit = 0;
  demand.cached = [graph = &graph, all, largest = demand.largest, kept, staged](const Cut& cut) {
    return std::min(kept.limit, kept.entry(*graph, cut, all)) + staged.entry(*graph, cut, largest);
  };
  return demand;
}

/// The least that training a single tensor takes, of those that are not frozen; `selected` becomes that tensor.
template <Backend B>
Bytes least_training_memory(const TensorGraph<B>& graph, const MemoryLimit<B>& memory, const Selection& frozen,
                            Selection& selected) {
  Bytes least = std::numeric_limits<Bytes>::max();
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (!frozen.mask().empty() && frozen.contains(id)) continue;
    Selection one = select_none(graph);
    one.insert(id);
    const Bytes taken = memory.plain_training(one).total();
    if (taken >= least) continue;
    least = taken;
    selected = std::move(one);
  }
  return least;
}

/// Throws InfeasibleMemory where the limit is less than some phase of a fit takes at least.
template <Backend B>
void check_memory(const TensorGraph<B>& graph, const MemoryLimit<B>& memory, const TensorChoice<B>& choice,
                  const TrainingBatches& batches, const FitOptions& options) {
  const bool is_fixed = choice.fixed() != nullptr;
  Selection held = is_fixed ? *choice.fixed() : select_none(graph);
  const Bytes training =
      is_fixed ? memory.training(held, {}).memory.total() : least_training_memory(graph, memory, choice.frozen(), held);
  const bool again = choice.next(1, batches) < batches.steps();
  const Bytes importance =
      is_fixed ? 0
               : memory.importance(choice.importance_demand(), again ? held : select_none(graph), {}).memory.total();
  Bytes evaluation = 0;
  if (options.evaluate == Evaluations::before || evaluates_trained(options))
    evaluation = memory.evaluation(1, evaluates_trained(options) ? held : select_none(graph), {}).total();
  const Bytes most = std::max({evaluation, importance, training});
  if (most <= options.memory_limit) return;
  throw InfeasibleMemory("fit", options.memory_limit, most,
                         most == evaluation   ? "an evaluation of one example at a time"
                         : most == importance ? "the evaluation of importances"
                         : is_fixed           ? "training the selection"
                                              : "training the smallest tensor");
}

}  // namespace greentrainer
