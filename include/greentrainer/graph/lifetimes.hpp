#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "greentrainer/core/workload.hpp"
#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// When each value and each gradient of a pass is first written and last read, and which of them share memory. The time
/// of a step is its index in the plan.
struct Lifetimes {
  static constexpr int nothing = -1;

  /// Memory of `shape`, from the time it is first written to the time it is last read, both inclusive.
  struct Storage {
    ValueShape shape = {};
    int born = 0;
    int dies = 0;
    bool gradient = false;

    friend bool operator==(const Storage&, const Storage&) = default;
  };
  /// From this step on the value lies in this storage. A value that is recomputed gets a second entry.
  struct Placement {
    int step = 0;
    ValueId value = -1;
    int storage = nothing;

    friend bool operator==(const Placement&, const Placement&) = default;
  };

  std::vector<Storage> storages = {};
  std::vector<Placement> values = {};      ///< in the order of steps
  std::vector<int> gradient_storage = {};  ///< of each value's gradient, or `nothing`
  int turning_point = 0;  ///< PassPlan::turning_point: what outlives the time before it is kept for the backward pass

  /// Elements of a storage for a workload.
  static Extent elements(const Storage& storage, const Workload& workload) {
    return storage.shape.cols * storage.shape.row_count(workload);
  }

  /// Elements of forward values that are still needed when the forward pass is over and the loss is not yet computed.
  Extent kept_elements(const Workload& workload) const {
    Extent total = 0;
    for (const Storage& s : storages) {
      if (!s.gradient && s.born < turning_point && s.dies >= turning_point) total += elements(s, workload);
    }
    return total;
  }

  friend bool operator==(const Lifetimes&, const Lifetimes&) = default;
};

/// Derives lifetimes from a plan. Values are written in place where the operator allows it and nobody reads the old one
/// again; the gradient of a residual connection shares the memory of what it passes on, unless one branch would
/// overwrite it before the other has read it. Given values lie outside of the pass's memory and are not overwritten.
template <class P>
class LifetimeAnalysis {
 public:
  LifetimeAnalysis(const TensorGraph<P>& graph, const PassPlan& plan) : graph_(graph), plan_(plan) {}

  /// Throws ConfigError for a plan that reads what was neither computed nor given.
  Lifetimes run() {
    result_.turning_point = plan_.turning_point();
    find_last_reads();
    forward_values();
    if (plan_.trains()) gradients();
    return std::move(result_);
  }

 private:
  /// A value as one step computes it.
  struct Instance {
    int last_read = 0;
    int storage = Lifetimes::nothing;
  };

  template <class Function>
  static void for_each(const std::vector<ValueId>& ids, BitSet set, Function&& use) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (((set >> i) & 1U) != 0) use(static_cast<std::size_t>(ids[i]));
    }
  }

  /// Numbers the instances in the order of steps and outputs.
  void find_last_reads() {
    std::vector<int> current(graph_.values().size(), Lifetimes::nothing);
    for (const ValueId v : plan_.given) current[static_cast<std::size_t>(v)] = new_instance();
    given_ = static_cast<int>(instances_.size());
    for (int now = 0; now < static_cast<int>(plan_.steps.size()); ++now) {
      const auto& step = plan_.steps[static_cast<std::size_t>(now)];
      const auto& node = graph_.op(step.op);
      const auto read = [&](std::size_t v) {
        if (current[v] == Lifetimes::nothing) {
          throw ConfigError("make_lifetimes", text(node.name, ", step ", now),
                            text("expected a plan that computes what it reads, got one without ",
                                 graph_.op(graph_.values()[v].producer).name));
        }
        instances_[static_cast<std::size_t>(current[v])].last_read = now;
      };
      for_each(node.inputs, step.inputs, read);
      if (step.is_backward()) {
        for_each(node.outputs, step.outputs, read);
        continue;
      }
      for_each(node.outputs, step.outputs, [&](std::size_t v) {
        current[v] = new_instance();
        instances_.back().last_read = now;
      });
    }
  }
  int new_instance() {
    instances_.emplace_back();
    return static_cast<int>(instances_.size()) - 1;
  }

  void forward_values() {
    std::vector<int> current(graph_.values().size(), Lifetimes::nothing);
    int next = 0;
    for (const ValueId v : plan_.given) current[static_cast<std::size_t>(v)] = next++;
    for (int now = 0; now < static_cast<int>(plan_.steps.size()); ++now) {
      const auto& step = plan_.steps[static_cast<std::size_t>(now)];
      if (step.is_backward()) continue;
      const auto& node = graph_.op(step.op);
      bool first = true;
      for_each(node.outputs, step.outputs, [&](std::size_t v) {
        Instance& made = instances_[static_cast<std::size_t>(next)];
        const int donor = first && v == static_cast<std::size_t>(node.outputs.front())
                              ? overwritable_input(step, now, current)
                              : Lifetimes::nothing;
        first = false;
        if (donor == Lifetimes::nothing) {
          made.storage = static_cast<int>(result_.storages.size());
          result_.storages.push_back({graph_.values()[v].shape, now, made.last_read, false});
        } else {
          made.storage = donor;
          auto& storage = result_.storages[static_cast<std::size_t>(donor)];
          storage.dies = std::max(storage.dies, made.last_read);
        }
        result_.values.push_back({now, static_cast<ValueId>(v), made.storage});
        current[v] = next++;
      });
    }
  }

  /// Storage of the input that the step may write its operator's first output over.
  int overwritable_input(const PassPlan::Step& step, int now, const std::vector<int>& current) const {
    const auto& node = graph_.op(step.op);
    const int i = node.op->in_place_input();
    if (i < 0) return Lifetimes::nothing;
    const ValueId v = node.inputs[static_cast<std::size_t>(i)];
    const int instance = current[static_cast<std::size_t>(v)];
    const bool read_twice = std::count(node.inputs.begin(), node.inputs.end(), v) > 1;
    if (instance < given_ || read_twice || instances_[static_cast<std::size_t>(instance)].last_read > now)
      return Lifetimes::nothing;
    return instances_[static_cast<std::size_t>(instance)].storage;
  }

  void gradients() {
    backward_time_.assign(graph_.operators().size(), Lifetimes::nothing);
    for (int now = result_.turning_point; now < static_cast<int>(plan_.steps.size()); ++now) {
      const auto& step = plan_.steps[static_cast<std::size_t>(now)];
      if (step.is_backward()) backward_time_[static_cast<std::size_t>(step.op)] = now;
    }
    result_.gradient_storage.assign(graph_.values().size(), Lifetimes::nothing);
    members_.assign(result_.storages.size(), {});
    for (int now = result_.turning_point; now < static_cast<int>(plan_.steps.size()); ++now) {
      const auto& step = plan_.steps[static_cast<std::size_t>(now)];
      if (step.is_backward()) gradients_of(step, now);
    }
  }

  void gradients_of(const PassPlan::Step& step, int now) {
    const auto& node = graph_.op(step.op);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      if (((step.grad_inputs >> i) & 1U) == 0 || graph_.contribution(step.op, static_cast<int>(i)) == Write::accumulate)
        continue;
      int storage = Lifetimes::nothing;
      const bool passes = ((step.passes >> i) & 1U) != 0, in_place = ((step.in_place >> i) & 1U) != 0;
      if (passes || in_place) {
        const ValueId y = node.outputs.front();
        const int candidate = result_.gradient_storage[static_cast<std::size_t>(y)];
        const int first_write = passes ? now + 1 : now;
        forget_dead(candidate, first_write);
        if (can_share(v, y, candidate, first_write)) storage = candidate;
      }
      if (storage == Lifetimes::nothing) {
        storage = static_cast<int>(result_.storages.size());
        result_.storages.push_back({graph_.value(v).shape, now, now, true});
        members_.emplace_back();
      }
      const auto s = static_cast<std::size_t>(storage);
      result_.gradient_storage[static_cast<std::size_t>(v)] = storage;
      result_.storages[s].dies = std::max(result_.storages[s].dies, read_time(v));
      members_[s].push_back(v);
    }
  }

  /// The gradient of v is read when v's producer runs backward.
  int read_time(ValueId v) const { return backward_time_[static_cast<std::size_t>(graph_.value(v).producer)]; }

  /// Drops members whose last read, and so every write, is before `time`, which grows from call to call. They cannot
  /// conflict with a later write; without this a residual stream would have one member for each layer.
  void forget_dead(int storage, int time) {
    std::erase_if(members_[static_cast<std::size_t>(storage)], [&](ValueId u) { return read_time(u) < time; });
  }

  /// Whether v's gradient may share the storage of y's gradient: no other member reads after a write that is not its
  /// own. `first_write`: when v's is first changed.
  bool can_share(ValueId v, ValueId y, int storage, int first_write) const {
    const auto writes_after = [&](ValueId w, int from, int until) {  // does w receive contributions in [from, until]?
      for (const auto& [op, input] : graph_.value(w).uses) {
        const int t = backward_time_[static_cast<std::size_t>(op)];
        if (t >= from && t <= until) return true;
      }
      return false;
    };
    for (const ValueId u : members_[static_cast<std::size_t>(storage)]) {
      if (u == v) return false;
      if (u != y && first_write <= read_time(u)) {
        if (writes_after(v, first_write, read_time(u))) return false;
      }
      if (writes_after(u, first_write, read_time(v))) return false;
    }
    return true;
  }

  const TensorGraph<P>& graph_;
  const PassPlan& plan_;
  Lifetimes result_;
  std::vector<Instance> instances_;            ///< given values first, then those computed, in the order of steps
  int given_ = 0;                              ///< how many instances are given
  std::vector<int> backward_time_;             ///< of each operator, or `nothing`
  std::vector<std::vector<ValueId>> members_;  ///< of gradient storages: the live values whose gradients share it
};

template <class P>
Lifetimes make_lifetimes(const TensorGraph<P>& graph, const PassPlan& plan) {
  return LifetimeAnalysis<P>(graph, plan).run();
}

/// A plan with its lifetimes: all that the executor follows.
struct Schedule {
  PassPlan plan;
  Lifetimes lifetimes;
  /// Memory is laid out for this workload, and all batches that are no larger in any measure use that layout: so none
  /// of them needs more. Without it, or for a larger batch, it is laid out for the batch at hand.
  std::optional<Workload> largest = {};

  /// What to lay out memory for.
  const Workload& laid_out_for(const Workload& batch) const {
    if (!largest) return batch;
    const bool fits =
        std::equal(batch.values.begin(), batch.values.end(), largest->values.begin(), std::less_equal<>{});
    return fits ? *largest : batch;
  }
};

template <class P>
Schedule make_schedule(const TensorGraph<P>& graph, PassPlan plan) {
  Lifetimes lifetimes = make_lifetimes(graph, plan);
  return {.plan = std::move(plan), .lifetimes = std::move(lifetimes)};
}
/// Of training the selection, or of an evaluation where it is empty.
template <class P>
Schedule make_schedule(const TensorGraph<P>& graph, const Selection& selection) {
  return make_schedule(graph, training_plan(graph, selection));
}

}  // namespace greentrainer
