#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/fewer_gradients.hpp"
#include "greentrainer/ops/gather_labelled.hpp"
#include "greentrainer/ops/linear.hpp"
#include "greentrainer/ops/merge_rows.hpp"
#include "greentrainer/ops/split_columns.hpp"

namespace greentrainer {

/// Which gradients go through tokens without a label: none, or those of the products that make their keys and values.
enum class ContextGradients { none, keys };

/// Makes the graph in which each operator on the decoder's rows is two: one on the context's rows, with few gradients
/// or none, and one on the labelled rows.
template <class P>
class ContextDetaching {
 public:
  ContextDetaching(const TensorGraph<P>& graph, ContextGradients left)
      : graph_(graph),
        keeps_keys_(left == ContextGradients::keys),
        splits_(graph.operators().size()),
        left_(graph.operators().size(), Left::none),
        values_(graph.values().size()) {}

  TensorGraph<P> run() {
    if (graph_.has_rows(Rows::encoder_tokens)) {
      throw ConfigError("with_detached_context", "graph",
                        "expected a decoder alone, got an encoder too, whose tokens carry no loss: nothing there would "
                        "be trained");
    }
    for (const Parameter& p : graph_.parameters()) result_.parameter(p);
    const auto count = static_cast<OperatorId>(graph_.operators().size());
    for (OperatorId id = 0; id < count; ++id) split(id);
    if (keeps_keys_) {
      for (OperatorId id = count; id-- > 0;) follow_gradients(id);
    }
    for (OperatorId id = 0; id < count; ++id) emit(id);
    result_.finish();
    return std::move(result_);
  }

 private:
  /// The new graph's values that stand for one of the old graph; -1: there is none yet.
  struct Variants {
    ValueId whole = -1;  ///< with the rows of the old one
    ValueId context = -1;
    ValueId labelled = -1;
    bool is_split = false;
    bool has_gradient = false;  ///< its context's rows
  };
  /// Gradients of an operator's part on the context's rows.
  enum class Left { none, parameters, all };

  void emit(OperatorId id) {
    const auto& node = graph_.op(id);
    if (node.op->kind() == GatherLabelled::kind) {
      variants(node.outputs.front()).whole = variants(node.inputs.front()).labelled;
    } else if (splits_[static_cast<std::size_t>(id)]) {
      emit_rows(node, Rows::context_tokens, left_[static_cast<std::size_t>(id)]);
      emit_rows(node, Rows::labelled_tokens, Left::all);
    } else {
      std::vector<ValueId> inputs;
      for (const ValueId v : node.inputs) inputs.push_back(whole(v));
      const auto outputs = result_.append(node.op, node.name, std::move(inputs), node.parameters);
      for (std::size_t o = 0; o < outputs.size(); ++o) variants(node.outputs[o]).whole = outputs[o];
    }
  }

  void split(OperatorId id) {
    const auto& node = graph_.op(id);
    if (node.op->kind() == GatherLabelled::kind || !is_split(node)) return;
    splits_[static_cast<std::size_t>(id)] = true;
    for (const ValueId v : node.outputs) variants(v).is_split = true;
  }
  /// An operator on all of the decoder's rows that can compute some of them. Its inputs are then in two parts already,
  /// or read as a whole.
  bool is_split(const typename TensorGraph<P>::Operator& node) const {
    for (const ValueId v : node.outputs) {
      const ValueShape& shape = graph_.value(v).shape;
      if (shape.rows != Rows::decoder_tokens || shape.prefix > 0) return false;
    }
    if (node.outputs.empty()) return false;
    bool can = node.op->on_rows(Rows::labelled_tokens) != nullptr;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool by_row = reads_row(node, i);
      can = can && (!by_row || values_[static_cast<std::size_t>(node.inputs[i])].is_split);
    }
    if (!can) {
      throw ConfigError("with_detached_context", node.name,
                        text("expected operators that can compute some rows of their outputs, got ", node.op->kind(),
                             ", which computes all"));
    }
    return true;
  }

  static bool reads_row(const typename TensorGraph<P>::Operator& node, std::size_t input) {
    return ((node.op->row_inputs() >> input) & 1U) != 0;
  }

  /// From what is read as a whole, keys and values, down to the products that they come from. Visits operators in the
  /// order of the backward pass.
  void follow_gradients(OperatorId id) {
    const auto& node = graph_.op(id);
    if (node.op->kind() == GatherLabelled::kind) return;
    const bool splits = splits_[static_cast<std::size_t>(id)];
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      Variants& input = variants(node.inputs[i]);
      if (input.is_split && (!splits || !reads_row(node, i))) input.has_gradient = true;
    }
    bool reached = false;
    for (const ValueId v : node.outputs) reached = reached || variants(v).has_gradient;
    if (!splits || !reached) return;
    const bool is_last = node.op->kind() == Linear::kind && !reads_product(node);
    left_[static_cast<std::size_t>(id)] = is_last ? Left::parameters : Left::all;
    if (is_last) return;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (reads_row(node, i)) variants(node.inputs[i]).has_gradient = true;
    }
  }

  /// An operator on the context's rows, with no more gradients than are left.
  std::shared_ptr<const AnyOperator<P>> with_gradients_left(const typename TensorGraph<P>::Operator& node,
                                                            std::shared_ptr<const AnyOperator<P>> op, Left left) {
    if (left != Left::all) {
      return std::make_shared<FewerGradients<P>>(std::move(op),
                                                 left == Left::none ? LeftGradients::none : LeftGradients::parameters);
    }
    BitSet without = 0;  // queries that come out of the projection of keys and values
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      const ValueId v = node.outputs[o];
      if (graph_.value(v).shape.differentiable && !variants(v).has_gradient) without |= bit(static_cast<int>(o));
    }
    if (without == 0) return op;
    const auto* split = dynamic_cast<const ErasedOperator<SplitColumns, P>*>(op.get());
    if (split == nullptr) {
      throw ConfigError("with_detached_context", node.name,
                        text("expected split_columns to make keys and values beside other things, got ", op->kind()));
    }
    SplitColumns some = split->op();
    some.constant_outputs = without;
    return std::make_shared<ErasedOperator<SplitColumns, P>>(std::move(some));
  }
  /// Of LoRA's two products the one that reads the other's.
  bool reads_product(const typename TensorGraph<P>::Operator& node) const {
    return graph_.parameter(node.parameters.front()).first_values == FirstValues::zero;
  }

  void emit_rows(const typename TensorGraph<P>::Operator& node, Rows rows, Left left) {
    const bool context = rows == Rows::context_tokens;
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Variants& input = variants(node.inputs[i]);
      inputs.push_back(!reads_row(node, i) ? whole(node.inputs[i]) : context ? input.context : input.labelled);
    }
    std::shared_ptr<const AnyOperator<P>> op = node.op->on_rows(rows);
    if (context) op = with_gradients_left(node, std::move(op), left);
    const auto outputs =
        result_.append(std::move(op), context ? node.name + ".context" : node.name, std::move(inputs), node.parameters);
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      Variants& output = variants(node.outputs[o]);
      (context ? output.context : output.labelled) = outputs[o];
    }
  }

  ValueId whole(ValueId v) {
    Variants& value = variants(v);
    if (value.whole < 0) {
      const auto& old = graph_.value(v);
      value.whole = result_.add(MergeRows{.width = old.shape.cols, .context_is_constant = !value.has_gradient},
                                graph_.op(old.producer).name + ".all_rows", {value.context, value.labelled})[0];
    }
    return value.whole;
  }
  Variants& variants(ValueId v) { return values_[static_cast<std::size_t>(v)]; }

  const TensorGraph<P>& graph_;
  bool keeps_keys_;
  TensorGraph<P> result_;
  std::vector<bool> splits_;  ///< of each operator of the old graph
  std::vector<Left> left_;
  std::vector<Variants> values_;  ///< of each value of the old graph
};

/// The same model with approximate gradients: tokens that carry no loss, the context, are read as constants. A labelled
/// token attends to their keys and values as ever, but no gradient goes through these, so that the backward pass
/// computes the labelled rows alone, and keeps of the context nothing but keys and values. With ContextGradients::keys
/// gradients go on through the context's keys and values to the weights that make them, and end there: what these read
/// is kept as well. Losses are those of the whole graph; gradients are those of PyTorch where each layer's keys and
/// values of the context, or what their projections read of it, are detached, and exact where every token is labelled.
/// Parameters keep their numbers; values and operators do not. Throws ConfigError for an encoder-decoder, and for an
/// operator in the way that cannot compute some rows alone. O(operators + values).
template <class P>
TensorGraph<P> with_detached_context(const TensorGraph<P>& graph, ContextGradients left = ContextGradients::none) {
  return ContextDetaching<P>(graph, left).run();
}

}  // namespace greentrainer
