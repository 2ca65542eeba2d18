#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "greentrainer/cost/choose_recomputation.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/importance/importance.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// A memory limit that not even the least that a fit can take keeps.
class InfeasibleMemory : public ConfigError {
 public:
  InfeasibleMemory(Bytes limit, Bytes smallest, const std::string& what)
      : ConfigError("fit", "memory_limit",
                    text("expected at least ", smallest, " bytes, which ", what, " takes at least, got ", limit)),
        smallest_(smallest) {}

  /// The smallest limit that is feasible.
  Bytes smallest() const { return smallest_; }

 private:
  Bytes smallest_;
};

/// What the phases of a fit take at their worst moments, for the largest batch that can come, and what their passes
/// compute again so that it stays within FitOptions::memory_limit. Without a limit nothing is computed again.
template <Backend B>
class MemoryLimit {
 public:
  /// A pass that was made to fit, or was not.
  struct Pass {
    PassPlan plan = {};
    std::vector<DroppedSegment> segments = {};  ///< that the plan computes again
    MemoryEstimate memory = {};                 ///< the least that was found, where it does not fit
    bool fits = true;
  };

  /// Examples that are evaluated in one pass, if the limit allows.
  static constexpr Extent most_evaluated = EvaluateOptions::usual_batch_size;

  /// `evaluated`: the examples whose loss is taken. They and the graph must outlive it.
  MemoryLimit(const TensorGraph<B>& graph, Bytes state_bytes_per_element, const TrainingBatches& batches,
              std::span<const Example> evaluated, const FitOptions& options)
      : graph_(&graph),
        state_(state_bytes_per_element),
        limit_(options.memory_limit),
        cache_limit_(options.prefix_cache_limit),
        evaluated_(evaluated),
        largest_(batches.largest_batch()) {
    for (std::size_t i = 0; i < batches.examples().size(); ++i) all_examples_ += batches.workload(i);
    std::vector<Workload> workloads;
    if (options.evaluate != Evaluations::none) {
      for (const Example& example : evaluated) workloads.push_back(workload_of(example));
    }
    const Workload evaluation = largest_batch_of(std::move(workloads), static_cast<std::size_t>(most_evaluated));
    // One block of indices serves all phases.
    batch_bytes_ = std::max(batch_bytes(largest_, graph.prefix_rows()), batch_bytes(evaluation, graph.prefix_rows())) +
                   sums_bytes();
  }

  Bytes limit() const { return limit_; }
  /// No batch of the fit is larger in any measure.
  const Workload& largest() const { return largest_; }

  /// The same where there is a limit: what memory is laid out for, so that none of them needs more.
  std::optional<Workload> room() const { return limit_ > 0 ? std::optional(largest_) : std::nullopt; }

  /// Training steps without recomputation or cached values.
  MemoryEstimate plain_training(const Selection& selection) const {
    return of_pass(training_plan(*graph_, selection), selection);
  }
  /// Training steps, with the values at a cut cached.
  Pass training(const Selection& selection, const std::optional<Cut>& cut) const {
    Pass pass{.plan = training_plan(*graph_, selection)};
    Bytes below = 0;
    if (cut) {
      pass.plan = plan_above(*graph_, std::move(pass.plan), *cut);
      below = activations_of(plan_below(*graph_, *cut));
    }
    pass.memory = of_pass(pass.plan, selection);
    pass.memory.cached = cached_bytes(cut);
    pass.memory.activations = std::max(pass.memory.activations, below);
    if (within_limit(pass.memory)) return pass;
    if (!pass.plan.trains()) {
      pass.fits = false;
      return pass;
    }
    const RecomputationSearch<B> search = search_of(pass.plan);
    fit_in(pass, &search, below);
    return pass;
  }

  /// The evaluation of importances, while a selection's optimizer state and its cached values are held.
  Pass importance(const Importance<B>& metric, const Selection& held, const std::optional<Cut>& cut) const {
    const bool runs = metric.full_passes() > 0;
    Pass pass;
    if (runs) {
      pass.plan = training_plan(*graph_, select_all(*graph_));
      pass.memory = importance_memory(*graph_, held, largest_, element_size, state_,
                                      TransientGradients<B>::elements(*graph_) + metric.scratch_elements(*graph_),
                                      metric.saves_weights());
    } else {
      pass.memory = of_held(held);
      pass.memory.gradients = 0;
    }
    pass.memory.batch = batch_bytes_;
    pass.memory.cached = cached_bytes(cut);
    if (within_limit(pass.memory)) return pass;
    if (runs && !full_) full_ = search_of(pass.plan);
    fit_in(pass, runs ? &*full_ : nullptr, 0);
    return pass;
  }

  /// An evaluation in batches of so many examples, while a selection's gradients and optimizer state
  /// and its cached values are held.
  MemoryEstimate evaluation(Extent batch_size, const Selection& held, const std::optional<Cut>& cut) const {
    const PassPlan plan = evaluation_plan(*graph_);
    const Lifetimes lifetimes = make_lifetimes(*graph_, plan);
    MemoryEstimate most = of_held(held);
    Extent labelled = 0;
    const auto count = static_cast<std::size_t>(batch_size);
    for (std::size_t first = 0; first < evaluated_.size(); first += count) {
      const auto examples = evaluated_.subspan(first, std::min(count, evaluated_.size() - first));
      Workload batch;
      for (const Example& example : examples) batch += workload_of(example);
      batch[Measure::steps] = 1;
      most.activations = std::max(most.activations, make_memory_layout(lifetimes, batch, element_size).total);
      most.workspace = std::max(most.workspace, workspace_bytes(*graph_, batch, element_size));
      labelled = std::max(labelled, batch[Measure::labelled_tokens]);
    }
    most.batch += labelled * element_size;  // a loss for each
    most.cached = cached_bytes(cut);
    return most;
  }
  /// The most examples, up to `most`, of batches of an evaluation that keeps the limit; 0 where none does.
  Extent evaluation_batch(const Selection& held, const std::optional<Cut>& cut, Extent most = most_evaluated) const {
    while (most > 0 && !within_limit(evaluation(most, held, cut))) most /= 2;
    return most;
  }

  /// Gradients and optimizer state of a tensor.
  Bytes trained_bytes(ParameterId id) const { return graph_->parameter(id).size() * (element_size + state_); }

  bool within_limit(const MemoryEstimate& memory) const { return excess(memory) == 0; }
  /// Bytes beyond the limit.
  Bytes excess(const MemoryEstimate& memory) const {
    return limit_ == 0 ? 0 : std::max<Bytes>(0, memory.total() - limit_);
  }
  Bytes excess(const Pass& pass) const { return excess(pass.memory); }

 private:
  static constexpr Bytes element_size = static_cast<Bytes>(sizeof(typename B::Scalar));

  MemoryEstimate of_held(const Selection& held) const {
    const Bytes gradients = parameter_bytes(*graph_, held, element_size);
    return {.weights = parameter_bytes(*graph_, select_all(*graph_), element_size),
            .gradients = gradients,
            .optimizer = gradients / element_size * state_,
            .batch = batch_bytes_,
            .scratch = kernel_scratch_bytes<B>()};
  }
  MemoryEstimate of_pass(const PassPlan& plan, const Selection& selection) const {
    MemoryEstimate memory = pass_memory(*graph_, plan, selection, largest_, element_size, state_);
    memory.batch = batch_bytes_;
    return memory;
  }
  Bytes activations_of(const PassPlan& plan) const {
    return make_memory_layout(make_lifetimes(*graph_, plan), largest_, element_size).total;
  }
  RecomputationSearch<B> search_of(PassPlan plan) const {
    return RecomputationSearch<B>(*graph_, std::move(plan), largest_, ExactCost<B>{}, element_size);
  }

  /// Chooses what the pass computes again, if it computes anything; `below`: activations that nothing makes smaller.
  void fit_in(Pass& pass, const RecomputationSearch<B>* search, Bytes below) const {
    const Bytes room = limit_ - (pass.memory.total() - pass.memory.activations);
    pass.fits = false;
    if (search == nullptr) return;
    auto choice = below <= room ? search->choose(room) : std::nullopt;
    pass.fits = choice.has_value();
    if (!choice) choice = search->least_memory();
    pass.segments = choice->segments;
    pass.memory.activations = std::max(choice->activations, below);
    pass.plan = search->plan(*choice);
  }

  /// All examples' values as far as the cache's limit goes, and a batch's.
  Bytes cached_bytes(const std::optional<Cut>& cut) const {
    if (!cut) return 0;
    return std::min(cache_limit_, PrefixCache<B>::example_bytes(*graph_, *cut, all_examples_)) +
           PrefixCache<B>::example_bytes(*graph_, *cut, largest_);
  }
  /// Sums in double: one for each tensor, of the loss, and of the gradients' squares.
  Bytes sums_bytes() const { return static_cast<Bytes>(sizeof(double) * (graph_->parameters().size() + 2)); }

  const TensorGraph<B>* graph_;
  Bytes state_;  ///< of the optimizer, an element
  Bytes limit_, cache_limit_;
  std::span<const Example> evaluated_;
  Workload largest_, all_examples_;
  Bytes batch_bytes_ = 0;
  mutable std::optional<RecomputationSearch<B>> full_;  ///< of a pass that trains everything
};

}  // namespace greentrainer
