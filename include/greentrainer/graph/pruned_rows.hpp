#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/gather_labelled.hpp"

namespace greentrainer {

/// Finds the decoder values of which nobody reads a row that is not labelled, and makes the graph in which these rows
/// are not computed: forward or backward.
template <class P>
class RowPruning {
 public:
  explicit RowPruning(const TensorGraph<P>& graph)
      : graph_(graph),
        pruned_(graph.operators().size(), false),
        new_ids_(graph.values().size(), -1),
        labelled_ids_(graph.values().size(), -1) {}

  TensorGraph<P> run() {
    for (auto id = static_cast<OperatorId>(graph_.operators().size()); id-- > 0;)
      pruned_[static_cast<std::size_t>(id)] = can_prune(id);
    if (std::none_of(pruned_.begin(), pruned_.end(), [](bool pruned) { return pruned; })) return graph_;
    for (const Parameter& p : graph_.parameters()) result_.parameter(p);
    const OperatorId border = last_whole_reader();
    std::vector<OperatorId> waiting;
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph_.operators().size()); ++id) {
      if (id < border && is_labelled(id))
        waiting.push_back(id);
      else
        emit(id);
      if (id != border) continue;
      for (const OperatorId later : waiting) emit(later);
    }
    return std::move(result_);
  }

 private:
  bool is_gather(OperatorId id) const {
    return dynamic_cast<const ErasedOperator<GatherLabelled, P>*>(graph_.op(id).op.get()) != nullptr;
  }
  bool is_pruned(OperatorId id) const { return pruned_[static_cast<std::size_t>(id)]; }
  /// Computes labelled rows alone in the new graph, or the loss.
  bool is_labelled(OperatorId id) const {
    const auto& outputs = graph_.op(id).outputs;
    return is_pruned(id) || outputs.empty() || graph_.value(outputs.front()).shape.rows == Rows::labelled_tokens;
  }
  static bool has_all_rows(const ValueShape& shape) { return shape.rows == Rows::decoder_tokens && shape.prefix == 0; }

  /// Whether a use of a value, by an operator that comes after all that was looked at, reads its labelled rows alone.
  bool reads_labelled_rows(const std::pair<OperatorId, int>& use) const {
    const auto [id, input] = use;
    return is_gather(id) || (is_pruned(id) && ((graph_.op(id).op->row_inputs() >> input) & 1U) != 0);
  }
  bool can_prune(OperatorId id) const {
    const auto& node = graph_.op(id);
    bool is_read = false;
    for (const ValueId v : node.outputs) {
      const auto& value = graph_.value(v);
      if (!has_all_rows(value.shape)) return false;
      if (!std::all_of(value.uses.begin(), value.uses.end(), [&](const auto& use) { return reads_labelled_rows(use); }))
        return false;
      is_read = is_read || !value.uses.empty();
    }
    return is_read && node.op->on_rows(Rows::labelled_tokens) != nullptr;
  }

  /// The last operator on whole values that reads one whose labelled rows are gathered. Operators on labelled rows are
  /// placed after it. The gather is then the value's last use, so its gradient comes first and others are added to it,
  /// which a product does at no cost.
  OperatorId last_whole_reader() const {
    OperatorId last = -1;
    for (const auto& value : graph_.values()) {
      if (!has_all_rows(value.shape) || is_pruned(value.producer)) continue;
      if (std::none_of(value.uses.begin(), value.uses.end(), [&](const auto& use) { return reads_labelled_rows(use); }))
        continue;
      for (const auto& [id, input] : value.uses) {
        if (!is_labelled(id)) last = std::max(last, id);
      }
    }
    return last;
  }

  /// The new graph's value with the labelled rows of this one.
  ValueId labelled(ValueId v) {
    const auto& value = graph_.value(v);
    if (!has_all_rows(value.shape) || is_pruned(value.producer)) return new_ids_[static_cast<std::size_t>(v)];
    ValueId& gathered = labelled_ids_[static_cast<std::size_t>(v)];
    if (gathered < 0) {
      gathered =
          result_.add(GatherLabelled{.width = value.shape.cols}, text(graph_.op(value.producer).name, ".labelled_rows"),
                      {new_ids_[static_cast<std::size_t>(v)]})[0];
    }
    return gathered;
  }

  void emit(OperatorId id) {
    const auto& node = graph_.op(id);
    if (is_gather(id)) {
      new_ids_[static_cast<std::size_t>(node.outputs.front())] = labelled(node.inputs.front());
      return;
    }
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool some_rows = is_pruned(id) && ((node.op->row_inputs() >> i) & 1U) != 0;
      inputs.push_back(some_rows ? labelled(node.inputs[i]) : new_ids_[static_cast<std::size_t>(node.inputs[i])]);
    }
    const std::vector<ValueId> outputs =
        result_.append(is_pruned(id) ? node.op->on_rows(Rows::labelled_tokens) : node.op, node.name, std::move(inputs),
                       node.parameters);
    for (std::size_t o = 0; o < outputs.size(); ++o) new_ids_[static_cast<std::size_t>(node.outputs[o])] = outputs[o];
  }

  const TensorGraph<P>& graph_;
  TensorGraph<P> result_;
  std::vector<bool> pruned_;           ///< for each operator: works on labelled rows in the new graph
  std::vector<ValueId> new_ids_;       ///< of each value
  std::vector<ValueId> labelled_ids_;  ///< of its gathered rows, or -1
};

/// The same model, in which operators work on the labelled rows alone where no other row of what they compute is read:
/// behind the last attention's keys and values, in a transformer. Parameters keep their numbers; values and operators
/// do not. Losses and gradients are the same but for the order of sums over rows; dropout draws other masks there.
/// Costs no more than the graph as it was, for any batch. O(operators + values).
template <class P>
TensorGraph<P> with_pruned_rows(const TensorGraph<P>& graph) {
  return RowPruning<P>(graph).run();
}

}  // namespace greentrainer
