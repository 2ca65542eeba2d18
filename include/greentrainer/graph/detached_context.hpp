#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/gather_labelled.hpp"
#include "greentrainer/ops/merge_rows.hpp"
#include "greentrainer/ops/without_gradients.hpp"

namespace greentrainer {

/// Makes the graph in which each operator on the decoder's rows is two: one on the context's rows, without gradients,
/// and one on the labelled rows.
template <class P>
class ContextDetaching {
 public:
  explicit ContextDetaching(const TensorGraph<P>& graph) : graph_(graph), values_(graph.values().size()) {}

  TensorGraph<P> run() {
    if (graph_.has_rows(Rows::encoder_tokens)) {
      throw ConfigError("with_detached_context", "graph",
                        "expected a decoder alone, got an encoder too, whose tokens carry no loss: nothing there would "
                        "be trained");
    }
    for (const Parameter& p : graph_.parameters()) result_.parameter(p);
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph_.operators().size()); ++id) emit(id);
    result_.finish();
    return std::move(result_);
  }

 private:
  /// The new graph's values that stand for one of the old graph; -1: there is none yet.
  struct Variants {
    ValueId whole = -1;  ///< with the rows of the old one
    ValueId context = -1;
    ValueId labelled = -1;

    bool is_split() const { return labelled >= 0; }
  };

  void emit(OperatorId id) {
    const auto& node = graph_.op(id);
    if (node.op->kind() == GatherLabelled::kind) {
      variants(node.outputs.front()).whole = variants(node.inputs.front()).labelled;
    } else if (is_split(node)) {
      emit_rows(node, Rows::context_tokens);
      emit_rows(node, Rows::labelled_tokens);
    } else {
      std::vector<ValueId> inputs;
      for (const ValueId v : node.inputs) inputs.push_back(whole(v));
      const auto outputs = result_.append(node.op, node.name, std::move(inputs), node.parameters);
      for (std::size_t o = 0; o < outputs.size(); ++o) variants(node.outputs[o]).whole = outputs[o];
    }
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
      const bool by_row = ((node.op->row_inputs() >> i) & 1U) != 0;
      can = can && (!by_row || values_[static_cast<std::size_t>(node.inputs[i])].is_split());
    }
    if (!can) {
      throw ConfigError("with_detached_context", node.name,
                        text("expected operators that can compute some rows of their outputs, got ", node.op->kind(),
                             ", which computes all"));
    }
    return true;
  }

  void emit_rows(const typename TensorGraph<P>::Operator& node, Rows rows) {
    const bool context = rows == Rows::context_tokens;
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Variants& input = variants(node.inputs[i]);
      const bool by_row = ((node.op->row_inputs() >> i) & 1U) != 0;
      inputs.push_back(!by_row ? whole(node.inputs[i]) : context ? input.context : input.labelled);
    }
    std::shared_ptr<const AnyOperator<P>> op = node.op->on_rows(rows);
    if (context) op = std::make_shared<WithoutGradients<P>>(std::move(op));
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
      value.whole = result_.add(MergeRows{.width = old.shape.cols}, graph_.op(old.producer).name + ".all_rows",
                                {value.context, value.labelled})[0];
    }
    return value.whole;
  }
  Variants& variants(ValueId v) { return values_[static_cast<std::size_t>(v)]; }

  const TensorGraph<P>& graph_;
  TensorGraph<P> result_;
  std::vector<Variants> values_;  ///< of each value of the old graph
};

/// The same model with approximate gradients: tokens that carry no loss, the context, are read as constants. A labelled
/// token attends to their keys and values as ever, but no gradient goes through these, so that the backward pass
/// computes the labelled rows alone, and keeps of the context nothing but keys and values. Losses are those of the
/// whole graph; gradients are those of PyTorch where each layer's keys and values of the context are detached, and
/// exact where every token is labelled. Parameters keep their numbers; values and operators do not. Throws ConfigError
/// for an encoder-decoder, and for an operator in the way that cannot compute some rows alone. O(operators + values).
template <class P>
TensorGraph<P> with_detached_context(const TensorGraph<P>& graph) {
  return ContextDetaching<P>(graph).run();
}

}  // namespace greentrainer
