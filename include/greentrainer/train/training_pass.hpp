#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/graph/recomputation.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/train/gradient_exchange.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// What the passes of a batch cost: FLOPs, or in the unit of another cost model.
struct TrainingCosts {
  LinearCost above = {};       ///< of the cut, for all sequences
  LinearCost recomputed = {};  ///< on top of these
  LinearCost below = {};       ///< for those that are not cached; nothing without a cut
};

/// The pass that trains a selection, above the cut if there is one, with segments that are `dropped` computed again.
template <class P>
PassPlan training_plan(const TensorGraph<P>& graph, const Selection& selection, const std::optional<Cut>& cut,
                       const std::vector<DroppedSegment>& dropped) {
  PassPlan plan = with_recomputation(graph, training_plan(graph, selection), dropped);
  return cut ? plan_above(graph, std::move(plan), *cut) : plan;
}

template <class P, CostModel<TensorGraph<P>> C = ExactCost<P>>
TrainingCosts training_costs(const TensorGraph<P>& graph, const Selection& selection, const std::optional<Cut>& cut,
                             const std::vector<DroppedSegment>& dropped = {}, const C& cost = {}) {
  const PassCost above = pass_cost(graph, training_plan(graph, selection, cut, dropped), cost);
  TrainingCosts costs{.above = above.forward + above.backward, .recomputed = above.recomputed};
  if (cut) costs.below = pass_cost(graph, plan_below(graph, *cut), cost).total();
  return costs;
}

/// The passes that training a selection takes: one for a batch; or, where the values at a cut below all that is trained
/// are cached, one below it for the examples that are not cached and one above it for all. Gradients and losses are the
/// same, to the bit where a row's result does not depend on the rows beside it (the Eigen backend).
template <Backend B>
class TrainingPass {
 public:
  struct Result {
    double loss_sum = 0;
    Flops flops = 0;       ///< executed, but for
    Flops recomputed = 0;  ///< what was computed again
    Flops saved = 0;       ///< that a run without the cache executes besides
  };

  /// The model must outlive it.
  explicit TrainingPass(Model<B>& model)
      : backend_(&model.backend()), executor_(&model.executor()), graph_(&model.graph()) {}

  /// Goes through this model's graph from now on, which must outlive it. `select` comes next; nothing may be kept.
  void go_through(Model<B>& model) {
    if (cache_) throw ConfigError("TrainingPass", "model", "expected no cached values of another graph, got some");
    executor_ = &model.executor();
    graph_ = &model.graph();
  }

  /// Keeps values at cuts from now on: in this store, converted to this element type (empty: as computed), of at most
  /// `limit` bytes. Without a store nothing is kept, and `select` takes no cut.
  void keep_prefixes(std::unique_ptr<PrefixStore> store, std::optional<DType> type, Bytes limit) {
    cache_.reset();
    if (store) cache_.emplace(*backend_, *graph_, std::move(store), type, limit);
  }

  /// Trains the selection from now on, with cached values at the cut if there is one. Nothing at or below the cut may
  /// be selected, and there must be a store (ConfigError). The cache keeps what it has if the cut stays the same: since
  /// nothing below it was trained. Segments that are `dropped` are computed again. With a workload that no batch
  /// exceeds, no batch takes more memory than it.
  void select(const Selection& selection, const std::optional<Cut>& cut,
              const std::vector<DroppedSegment>& dropped = {}, const std::optional<Workload>& largest = {}) {
    if (cut && !cache_) throw ConfigError("TrainingPass", "cut", "expected a store for its values, got none");
    above_ = make_schedule(*graph_, training_plan(*graph_, selection, cut, dropped));
    if (cut) {
      below_ = make_schedule(*graph_, plan_below(*graph_, *cut));
      cache_->use(*cut);
    } else if (cache_) {
      cache_->clear();
    }
    above_.largest = below_.largest = largest;
    costs_ = training_costs(*graph_, selection, cut, dropped);
  }
  /// Parameters that are trained, in the order in which a pass completes their gradients.
  std::vector<ParameterId> completion_order() const { return greentrainer::completion_order(*graph_, above_.plan); }
  /// Forgets cached values: weights or examples are others.
  void forget() {
    if (cache_) cache_->clear();
  }

  /// Null without a store.
  PrefixCache<B>* cache() { return cache_ ? &*cache_ : nullptr; }
  const PrefixCache<B>* cache() const { return cache_ ? &*cache_ : nullptr; }

  /// FLOPs that `run` would execute now for a batch of these examples.
  Flops flops_of(const TrainingBatches& batches, const TrainingBatches::Numbers& numbers) const {
    const Flops above = evaluate(costs_.above + costs_.recomputed, batches.workload_of_batch(numbers));
    if (!cache_ || !cache_->cut()) return above;
    TrainingBatches::Numbers missing;
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(missing),
                 [this](std::size_t i) { return !cache_->store().holds(i); });
    return above + evaluate(costs_.below, batches.workload_of_batch(missing));
  }

  /// Runs a batch, which is made of these of the examples.
  Result run(const Batch& batch, std::span<const Example> examples, std::span<const std::size_t> numbers,
             RunOptions<B> options) {
    const Workload workload = workload_of(batch, graph_->window());
    Result result{.flops = evaluate(costs_.above, workload), .recomputed = evaluate(costs_.recomputed, workload)};
    if (cache_ && cache_->cut()) {
      const Flops computed = run_below(batch, examples, numbers, options.profile);
      result.flops += computed;
      result.saved = evaluate(costs_.below, workload) - computed;
      options.memory = &*cache_;
    }
    result.loss_sum = executor_->run(above_, batch, options);
    result.flops += executor_->flops_beyond_plan();
    return result;
  }

  /// Computes the values of these examples, as far as they are not cached; returns the FLOPs. Requires a cut.
  Flops refill(const TrainingBatches& batches, std::span<const std::size_t> examples, Extent batch_size) {
    Flops flops = 0;
    const auto most = static_cast<std::size_t>(batch_size);
    for (std::size_t first = 0; first < examples.size(); first += most) {
      const auto part = examples.subspan(first, std::min(most, examples.size() - first));
      const TrainingBatches::Numbers numbers(part.begin(), part.end());
      flops += run_below(batches.make(numbers), batches.examples(), numbers, nullptr);
    }
    return flops;
  }

 private:
  /// For the sequences whose values are not cached; returns its FLOPs.
  Flops run_below(const Batch& batch, std::span<const Example> examples, std::span<const std::size_t> numbers,
                  PassProfile* profile) {
    std::vector<std::size_t> missing;
    for (const std::size_t s : cache_->begin(batch, numbers)) missing.push_back(numbers[s]);
    if (missing.empty()) return 0;
    const Batch part = collate(examples, missing);
    executor_->run(below_, part, {.memory = &*cache_, .profile = profile});
    cache_->commit();
    return evaluate(costs_.below, workload_of(part, graph_->window())) + executor_->flops_beyond_plan();
  }

  B* backend_;
  Executor<B>* executor_;
  const TensorGraph<B>* graph_;
  std::optional<PrefixCache<B>> cache_;
  Schedule above_, below_;
  TrainingCosts costs_;
};

}  // namespace greentrainer
