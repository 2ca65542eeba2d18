#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/cost/choose_recomputation.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/memory_estimate.hpp"

namespace greentrainer {

/// A memory limit below the least memory that a fit can take.
class InfeasibleMemory : public ConfigError {
 public:
  /// `what` takes at least `smallest` bytes.
  InfeasibleMemory(std::string_view where, Bytes limit, Bytes smallest, const std::string& what)
      : ConfigError(where, "memory_limit",
                    text("expected at least ", smallest, " bytes, the least that ", what, " takes, got ", limit,
                         "; use smaller batches or shorter sequences")),
        smallest_(smallest) {}

  /// The smallest limit that is feasible.
  Bytes smallest() const { return smallest_; }

 private:
  Bytes smallest_;
};

/// What the evaluation of importances runs and holds in memory.
struct ImportanceDemand {
  int full_passes = 0;           ///< for a batch
  Extent gradient_elements = 0;  ///< of gradients, where there is a pass, and of the metric's scratch
  bool saves_weights = false;    ///< holds a copy of them
};

/// The sizes of a fit that its memory follows from.
struct FitDemand {
  Bytes limit = 0;                               ///< 0: none
  UpdateMemory updates = 0;                      ///< what the optimizer holds
  Workload largest = {};                         ///< no training pass is larger in any measure
  Workload largest_measured = {};                ///< nor one that importances are taken from; nothing: as `largest`
  std::vector<Workload> evaluated = {};          ///< of each example whose loss is taken, in order
  Extent evaluation_batch = 8;                   ///< examples of an evaluation's pass, if the limit allows
  std::function<Bytes(const Cut&)> cached = {};  ///< what a cache takes at a cut, a batch's values included
};

/// What the phases of a fit take at their worst moments, and what their passes compute again so that it stays within a
/// limit. Without a limit nothing is computed again.
template <class P>
class MemoryLimit {
 public:
  /// The plan of a phase under the limit, whether it fits or not.
  struct Pass {
    PassPlan plan = {};
    std::vector<DroppedSegment> segments = {};  ///< that the plan computes again
    MemoryEstimate memory = {};                 ///< the least that was found, where it does not fit
    bool optimal = true;                        ///< nothing else that fits between the same cuts costs less
  };

  /// The graph must outlive it.
  MemoryLimit(const TensorGraph<P>& graph, FitDemand demand) : graph_(&graph), demand_(std::move(demand)) {
    if (demand_.largest_measured == Workload{}) demand_.largest_measured = demand_.largest;
    std::vector<Workload> batch = demand_.evaluated;
    const Workload evaluation = largest_batch_of(std::move(batch), static_cast<std::size_t>(demand_.evaluation_batch));
    // One block of indices serves all phases. Sums in double: one for each tensor, of the loss, of squared gradients.
    batch_bytes_ = std::max({batch_bytes(graph, demand_.largest), batch_bytes(graph, demand_.largest_measured),
                             batch_bytes(graph, evaluation)}) +
                   static_cast<Bytes>(sizeof(double) * (graph.parameters().size() + 2));
  }

  Bytes limit() const { return demand_.limit; }
  /// Tensors whose weights have elements of their own from now on, in whatever format they were stored.
  void set_trained(Selection trained) { trained_ = std::move(trained); }
  /// Where there is a limit: the workload to lay memory out for, so that no batch needs more.
  std::optional<Workload> room() const { return demand_.limit > 0 ? std::optional(demand_.largest) : std::nullopt; }

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
      below =
          make_memory_layout(make_lifetimes(*graph_, plan_below(*graph_, *cut)), demand_.largest, element_size).total;
    }
    pass.memory = of_pass(pass.plan, selection);
    pass.memory.cached = cached(cut);
    pass.memory.activations = std::max(pass.memory.activations, below);
    if (excess(pass) > 0 && pass.plan.trains()) fit_in(pass, search_of(pass.plan, demand_.largest), below);
    return pass;
  }

  /// The evaluation of importances, while a selection's optimizer state and its cached values are held.
  Pass importance(const ImportanceDemand& metric, const Selection& held, const std::optional<Cut>& cut) const {
    Pass pass;
    if (metric.full_passes > 0) {
      pass.plan = training_plan(*graph_, select_all(*graph_));
      pass.memory = importance_memory(*graph_, held, demand_.largest_measured, element_size, demand_.updates,
                                      metric.gradient_elements, metric.saves_weights);
      pass.memory.batch = batch_bytes_;
      pass.memory.weights = weights(held);
    } else {
      pass.memory = of_held(held);
      pass.memory.gradients = metric.gradient_elements * element_size;
    }
    pass.memory.cached = cached(cut);
    if (excess(pass) == 0 || metric.full_passes == 0) return pass;
    if (!full_) full_ = search_of(pass.plan, demand_.largest_measured);
    fit_in(pass, *full_, 0);
    return pass;
  }

  /// A step that trains everything and takes importances from its gradients, while a selection's optimizer state is
  /// held.
  MemoryEstimate importance_step(Extent scratch_elements, const Selection& held) const {
    MemoryEstimate memory =
        importance_step_memory(*graph_, held, demand_.largest, element_size, demand_.updates, scratch_elements);
    memory.batch = batch_bytes_;
    memory.weights = weights(select_all(*graph_));
    return memory;
  }

  /// An evaluation in batches of so many examples, while a selection's gradients and optimizer state and its cached
  /// values are held.
  MemoryEstimate evaluation(Extent batch_size, const Selection& held, const std::optional<Cut>& cut) const {
    const Lifetimes lifetimes = make_lifetimes(*graph_, evaluation_plan(*graph_));
    MemoryEstimate most = of_held(held);
    Extent labelled = 0;
    const auto count = static_cast<std::size_t>(batch_size);
    for (std::size_t first = 0; first < demand_.evaluated.size(); first += count) {
      Workload batch;
      for (std::size_t i = first; i < std::min(first + count, demand_.evaluated.size()); ++i)
        batch += demand_.evaluated[i];
      batch[Measure::steps] = 1;
      most.activations = std::max(most.activations, make_memory_layout(lifetimes, batch, element_size).total);
      most.workspace = std::max(most.workspace, workspace_bytes(*graph_, batch, element_size));
      labelled = std::max(labelled, batch[Measure::labelled_tokens]);
    }
    most.batch += labelled * element_size;  // a loss for each
    most.cached = cached(cut);
    return most;
  }
  /// The most examples of batches of an evaluation that keeps the limit; 1 where none does.
  Extent evaluation_batch(const Selection& held, const std::optional<Cut>& cut) const {
    Extent batch_size = demand_.evaluation_batch;
    while (batch_size > 1 && excess(evaluation(batch_size, held, cut)) > 0) batch_size /= 2;
    return batch_size;
  }

  /// Gradients and optimizer state of a tensor, and what its own elements take beyond its storage format.
  Bytes trained_bytes(ParameterId id) const {
    const Parameter& p = graph_->parameter(id);
    const bool has_elements = p.format == nullptr || (!trained_.mask().empty() && trained_.contains(id));
    const Bytes stored =
        has_elements ? p.size() * element_size : StoredMatrix{p.format, nullptr, p.rows(), p.cols()}.bytes();
    return p.size() * 2 * element_size + demand_.updates.state(p) - stored;
  }

  /// Bytes beyond the limit.
  Bytes excess(const MemoryEstimate& memory) const {
    return demand_.limit == 0 ? 0 : std::max<Bytes>(0, memory.total() - demand_.limit);
  }
  Bytes excess(const Pass& pass) const { return excess(pass.memory); }

 private:
  static constexpr Bytes element_size = static_cast<Bytes>(sizeof(typename ScalarOf<P>::type));

  MemoryEstimate of_held(const Selection& held) const {
    return {.weights = weights(held),
            .gradients = parameter_bytes(*graph_, held, element_size),
            .optimizer = demand_.updates.state(*graph_, held),
            .batch = batch_bytes_,
            .scratch = kernel_scratch_bytes(*graph_) + demand_.updates.scratch()};
  }
  MemoryEstimate of_pass(const PassPlan& plan, const Selection& selection) const {
    MemoryEstimate memory = pass_memory(*graph_, plan, selection, demand_.largest, element_size, demand_.updates);
    memory.batch = batch_bytes_;
    memory.weights = weights(selection);
    return memory;
  }
  /// What was ever trained keeps elements of its own.
  Bytes weights(Selection trained) const {
    for (ParameterId id = 0; id < static_cast<ParameterId>(trained_.mask().size()); ++id) {
      if (trained_.contains(id)) trained.insert(id);
    }
    return weight_bytes(*graph_, trained, element_size);
  }
  Bytes cached(const std::optional<Cut>& cut) const { return cut && demand_.cached ? demand_.cached(*cut) : 0; }

  RecomputationSearch<P> search_of(PassPlan plan, const Workload& workload) const {
    return RecomputationSearch<P>(*graph_, std::move(plan), workload, ExactCost<P>{}, element_size);
  }
  /// Chooses what the pass computes again; `below`: activations that nothing makes smaller.
  void fit_in(Pass& pass, const RecomputationSearch<P>& search, Bytes below) const {
    const Bytes room = demand_.limit - (pass.memory.total() - pass.memory.activations);
    auto choice = below <= room ? search.choose(room) : std::nullopt;
    if (!choice) choice = search.least_memory();
    pass.plan = search.plan(*choice);
    pass.memory.activations = std::max(choice->activations, below);
    pass.segments = std::move(choice->segments);
    pass.optimal = choice->optimal;
  }

  const TensorGraph<P>* graph_;
  FitDemand demand_;
  Selection trained_ = {};
  Bytes batch_bytes_ = 0;
  mutable std::optional<RecomputationSearch<P>> full_;  ///< of a pass that trains everything
};

}  // namespace greentrainer
