#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "greentrainer/core/workload.hpp"
#include "greentrainer/graph/backward_plan.hpp"

namespace greentrainer {

/// When each value and each gradient of a pass comes to life and dies, and which of them share memory.
/// Time counts operators: operator o runs forward at time o; with n operators its backward runs at 2 (n - 1) - o. The
/// loss does both at n - 1.
struct Lifetimes {
  static constexpr int nothing = -1;

  /// Memory of `shape`, from the time it is first written to the time it is last read, both inclusive.
  struct Storage {
    ValueShape shape;
    int born = 0;
    int dies = 0;
    bool gradient = false;
  };

  std::vector<Storage> storages;
  std::vector<int> value_storage;     ///< of each value
  std::vector<int> gradient_storage;  ///< of each value's gradient, or `nothing`
  int turning_point = 0;  ///< time of the loss: what outlives the time before it is kept for the backward pass

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
};

/// Derives lifetimes from a plan. Values are written in place where the operator allows it and nobody reads the old one
/// again; the gradient of a residual connection shares the memory of what it passes on, unless one branch would
/// overwrite it before the other has read it.
template <class P>
class LifetimeAnalysis {
 public:
  LifetimeAnalysis(const TensorGraph<P>& graph, const BackwardPlan& plan)
      : graph_(graph), plan_(plan), last_(static_cast<int>(graph.operators().size()) - 1) {}

  Lifetimes run() {
    result_.turning_point = last_;
    forward_values();
    if (!plan_.empty()) gradients();
    return std::move(result_);
  }

 private:
  int backward_time(OperatorId id) const { return 2 * last_ - id; }

  void forward_values() {
    const auto& values = graph_.values();
    std::vector<int> last_read(values.size(), 0);
    std::vector<bool> kept(values.size(), false);
    for (std::size_t v = 0; v < values.size(); ++v) {
      last_read[v] = values[v].uses.empty() ? values[v].producer : values[v].uses.back().first;
    }
    for (const auto& step : plan_.steps) {
      const auto keep = [&](const std::vector<ValueId>& ids, BitSet set) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
          if (((set >> i) & 1U) == 0) continue;
          const auto v = static_cast<std::size_t>(ids[i]);
          kept[v] = true;
          last_read[v] = std::max(last_read[v], backward_time(step.op));
        }
      };
      keep(graph_.op(step.op).inputs, step.keeps_inputs);
      keep(graph_.op(step.op).outputs, step.keeps_outputs);
    }
    result_.value_storage.assign(values.size(), Lifetimes::nothing);
    for (OperatorId id = 0; id <= last_; ++id) {
      const auto& node = graph_.op(id);
      for (std::size_t o = 0; o < node.outputs.size(); ++o) {
        const auto v = static_cast<std::size_t>(node.outputs[o]);
        const int donor = o == 0 ? overwritable_input(id, kept, last_read) : Lifetimes::nothing;
        if (donor == Lifetimes::nothing) {
          result_.value_storage[v] = static_cast<int>(result_.storages.size());
          result_.storages.push_back({values[v].shape, id, last_read[v], false});
        } else {
          result_.value_storage[v] = donor;
          auto& storage = result_.storages[static_cast<std::size_t>(donor)];
          storage.dies = std::max(storage.dies, last_read[v]);
        }
      }
    }
  }

  /// Storage of the input that operator `id` may write its output over.
  int overwritable_input(OperatorId id, const std::vector<bool>& kept, const std::vector<int>& last_read) const {
    const auto& node = graph_.op(id);
    const int i = node.op->in_place_input();
    if (i < 0) return Lifetimes::nothing;
    const auto v = static_cast<std::size_t>(node.inputs[static_cast<std::size_t>(i)]);
    const bool read_twice = std::count(node.inputs.begin(), node.inputs.end(), static_cast<ValueId>(v)) > 1;
    if (kept[v] || last_read[v] > id || read_twice) return Lifetimes::nothing;
    return result_.value_storage[v];
  }

  void gradients() {
    result_.gradient_storage.assign(graph_.values().size(), Lifetimes::nothing);
    members_.assign(result_.storages.size(), {});
    for (const auto& step : plan_.steps) {
      const auto& node = graph_.op(step.op);
      const int now = backward_time(step.op);
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const ValueId v = node.inputs[i];
        if (((step.grad_inputs >> i) & 1U) == 0 ||
            graph_.contribution(step.op, static_cast<int>(i)) == Write::accumulate)
          continue;
        int storage = Lifetimes::nothing;
        if (step.passes || step.in_place) {
          const ValueId y = node.outputs.front();
          const int candidate = result_.gradient_storage[static_cast<std::size_t>(y)];
          if (can_share(v, y, candidate, step.passes ? now + 1 : now)) storage = candidate;
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
  }

  /// The gradient of v is read when v's producer runs backward.
  int read_time(ValueId v) const { return backward_time(graph_.value(v).producer); }

  /// Whether v's gradient may live where y's does: nobody else there reads after a write that is not its own.
  /// `first_write`: when v's is first changed.
  bool can_share(ValueId v, ValueId y, int storage, int first_write) const {
    const auto writes_after = [&](ValueId w, int from, int until) {  // does w receive contributions in [from, until]?
      for (const auto& [op, input] : graph_.value(w).uses) {
        const int t = backward_time(op);
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
  const BackwardPlan& plan_;
  int last_;
  Lifetimes result_;
  std::vector<std::vector<ValueId>> members_;  ///< of gradient storages: the values whose gradients share it
};

template <class P>
Lifetimes make_lifetimes(const TensorGraph<P>& graph, const BackwardPlan& plan) {
  return LifetimeAnalysis<P>(graph, plan).run();
}

}  // namespace greentrainer
