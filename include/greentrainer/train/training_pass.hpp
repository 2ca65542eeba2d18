#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// The passes that training a selection takes: one for a batch; or, where the values at a cut below all that is trained
/// are cached, one below it for the examples that are not cached and one above it for all. Gradients and losses are the
/// same, to the bit where a row's result does not depend on the rows beside it (the Eigen backend).
template <Backend B>
class TrainingPass {
 public:
  struct Result {
    double loss_sum = 0;
    Flops flops = 0;  ///< executed
    Flops saved = 0;  ///< that a run without the cache executes besides
  };

  /// FLOPs of the passes of a batch.
  struct Costs {
    LinearCost above = {};  ///< of the cut, for all sequences
    LinearCost below = {};  ///< for those that are not cached; nothing without a cut
  };

  /// The model must outlive it.
  explicit TrainingPass(Model<B>& model)
      : executor_(&model.executor()), graph_(&model.graph()), cache_(model.backend(), model.graph()) {}

  /// Trains the selection from now on, with a cache of at most `limit` bytes at the cut if there is one. Nothing at or
  /// below the cut may be selected (ConfigError). The cache keeps what it has if the cut stays the same: since nothing
  /// below it was trained.
  void select(const Selection& selection, const std::optional<Cut>& cut, Bytes limit) {
    above_ = make_schedule(*graph_, plan_of(selection, cut));
    if (cut) {
      below_ = make_schedule(*graph_, plan_below(*graph_, *cut));
      cache_.use(*cut, limit);
    } else {
      cache_.clear();
    }
    costs_ = costs_of(selection, cut);
  }
  /// Of the passes that `select` would prepare.
  Costs costs_of(const Selection& selection, const std::optional<Cut>& cut) const {
    Costs costs{.above = pass_cost(*graph_, plan_of(selection, cut), ExactCost<B>{}).total()};
    if (cut) costs.below = pass_cost(*graph_, plan_below(*graph_, *cut), ExactCost<B>{}).total();
    return costs;
  }
  /// Forgets cached values: weights or examples are others.
  void forget() { cache_.clear(); }

  const PrefixCache<B>& cache() const { return cache_; }

  /// FLOPs that `run` would execute now for a batch of these examples.
  Flops flops_of(const TrainingBatches& batches, const TrainingBatches::Numbers& numbers) const {
    const Flops above = evaluate(costs_.above, batches.workload_of_batch(numbers));
    if (!cache_.cut()) return above;
    TrainingBatches::Numbers missing;
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(missing),
                 [this](std::size_t i) { return !cache_.holds(i); });
    return above + evaluate(costs_.below, batches.workload_of_batch(missing));
  }

  /// Runs a batch, which is made of these of the examples.
  Result run(const Batch& batch, std::span<const Example> examples, std::span<const std::size_t> numbers,
             RunOptions<B> options) {
    const Workload workload = workload_of(batch);
    Result result{.flops = evaluate(costs_.above, workload)};
    if (cache_.cut()) {
      const Flops computed = run_below(batch, examples, numbers, options.profile);
      result.flops += computed;
      result.saved = evaluate(costs_.below, workload) - computed;
      options.memory = &cache_;
    }
    result.loss_sum = executor_->run(above_, batch, options);
    return result;
  }

 private:
  PassPlan plan_of(const Selection& selection, const std::optional<Cut>& cut) const {
    const PassPlan plan = training_plan(*graph_, selection);
    return cut ? plan_above(*graph_, plan, *cut) : plan;
  }

  /// For the sequences whose values are not cached; returns its FLOPs.
  Flops run_below(const Batch& batch, std::span<const Example> examples, std::span<const std::size_t> numbers,
                  PassProfile* profile) {
    std::vector<std::size_t> sequences, missing;
    for (std::size_t s = 0; s < numbers.size(); ++s) {
      if (cache_.holds(numbers[s])) continue;
      sequences.push_back(s);
      missing.push_back(numbers[s]);
    }
    cache_.begin(batch, numbers, std::move(sequences));
    if (missing.empty()) return 0;
    const Batch part = collate(examples, missing);
    executor_->run(below_, part, {.memory = &cache_, .profile = profile});
    cache_.commit();
    return evaluate(costs_.below, workload_of(part));
  }

  Executor<B>* executor_;
  const TensorGraph<B>* graph_;
  PrefixCache<B> cache_;
  Schedule above_, below_;
  Costs costs_;
};

}  // namespace greentrainer
