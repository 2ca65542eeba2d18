#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/graph/batch_numbers.hpp"
#include "greentrainer/graph/pruned_rows.hpp"
#include "greentrainer/ops/cross_entropy_head.hpp"
#include "greentrainer/ops/mean_rows.hpp"

namespace greentrainer {

/// Which rows of a sequence are classified: those that have a label (the last of a class_example), or the mean of all.
enum class Pooling { labelled_rows, mean };

/// A head over classes in the place of a model's own.
struct ClassHead {
  Extent classes = 2;
  Pooling pooling = Pooling::labelled_rows;
  /// The operator whose output is classified: "encoder.final_layer_norm" for T5's encoder. Empty: what the model's own
  /// head reads.
  std::string at = {};
  std::string name = "score";  ///< its weight is NAME.weight, (classes, width), as in transformers
};

/// Copies what a value is computed from, and puts a head upon it.
template <class P>
class WithClassHead {
 public:
  WithClassHead(const TensorGraph<P>& graph, ClassHead head)
      : graph_(graph),
        head_(std::move(head)),
        needed_(graph.operators().size(), false),
        new_values_(graph.values().size(), -1),
        new_parameters_(graph.parameters().size(), -1) {}

  TensorGraph<P> run() {
    if (head_.classes < 2)
      throw ConfigError("with_class_head", "classes", text("expected at least 2, got ", head_.classes));
    const ValueId from = classified();
    mark(from);
    declare_parameters();
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph_.operators().size()); ++id) {
      if (needed_[static_cast<std::size_t>(id)]) copy(id);
    }
    const ParameterId weight =
        result_.parameter(head_.name + ".weight", {head_.classes, graph_.value(from).shape.cols});
    result_.add(CrossEntropyHead{.width = graph_.value(from).shape.cols, .vocabulary = head_.classes}, head_.name,
                {pooled(new_values_[static_cast<std::size_t>(from)])}, {weight});
    result_.finish();
    return with_pruned_rows(result_);
  }

 private:
  ValueId classified() const {
    if (head_.at.empty()) return graph_.operators().back().inputs.front();
    for (const auto& node : graph_.operators()) {
      if (node.name == head_.at && !node.outputs.empty()) return node.outputs.front();
    }
    throw ConfigError(
        "with_class_head", "at",
        text("expected the name of an operator, such as ",
             graph_.op(graph_.value(graph_.operators().back().inputs.front()).producer).name, ", got ", head_.at));
  }
  /// Operators that the value follows from.
  void mark(ValueId from) {
    needed_[static_cast<std::size_t>(graph_.value(from).producer)] = true;
    for (auto id = static_cast<OperatorId>(graph_.operators().size()); id-- > 0;) {
      if (!needed_[static_cast<std::size_t>(id)]) continue;
      for (const ValueId input : graph_.op(id).inputs)
        needed_[static_cast<std::size_t>(graph_.value(input).producer)] = true;
    }
  }
  void declare_parameters() {
    std::vector<bool> read(graph_.parameters().size(), false);
    for (std::size_t id = 0; id < needed_.size(); ++id) {
      if (!needed_[id]) continue;
      for (const ParameterId p : graph_.operators()[id].parameters) read[static_cast<std::size_t>(p)] = true;
    }
    for (std::size_t p = 0; p < read.size(); ++p) {
      if (read[p]) new_parameters_[p] = result_.parameter(graph_.parameters()[p]);
    }
  }
  /// For a mean, rows that were pruned are computed again.
  void copy(OperatorId id) {
    const auto& node = graph_.op(id);
    if (head_.pooling == Pooling::mean && operator_as<GatherLabelled>(*node.op) != nullptr) {
      new_values_[static_cast<std::size_t>(node.outputs.front())] =
          new_values_[static_cast<std::size_t>(node.inputs.front())];
      return;
    }
    std::shared_ptr<const AnyOperator<P>> op = node.op;
    const auto is_pruned = [&] { return graph_.value(node.outputs.front()).shape.rows == Rows::labelled_tokens; };
    if (head_.pooling == Pooling::mean && is_pruned()) op = op->on_rows(Rows::decoder_tokens);
    if (op == nullptr) {
      throw ConfigError("with_class_head", node.name,
                        "expected an operator that can compute all rows, which a mean is of, got another");
    }
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(new_values_[static_cast<std::size_t>(input)]);
    std::vector<ParameterId> parameters;
    for (const ParameterId p : node.parameters) parameters.push_back(new_parameters_[static_cast<std::size_t>(p)]);
    const auto outputs = result_.append(std::move(op), node.name, std::move(inputs), std::move(parameters));
    for (std::size_t o = 0; o < outputs.size(); ++o)
      new_values_[static_cast<std::size_t>(node.outputs[o])] = outputs[o];
  }
  ValueId pooled(ValueId value) {
    const ValueShape shape = result_.value(value).shape;
    if (head_.pooling == Pooling::mean)
      return result_.add(MeanRows{.rows = shape.rows, .width = shape.cols}, head_.name + ".mean", {value})[0];
    if (shape.rows == Rows::labelled_tokens) return value;
    if (shape.rows == Rows::decoder_tokens)
      return result_.add(GatherLabelled{.width = shape.cols}, head_.name + ".labelled_rows", {value})[0];
    throw ConfigError("with_class_head", "pooling",
                      text("expected mean for ", head_.at, ", whose rows have no labels, got labelled_rows"));
  }

  const TensorGraph<P>& graph_;
  ClassHead head_;
  TensorGraph<P> result_;
  std::vector<bool> needed_;                 ///< of each operator
  std::vector<ValueId> new_values_;          ///< of each value that is computed so far
  std::vector<ParameterId> new_parameters_;  ///< of each that is read
};

/// The graph of a classifier: what a model computes up to a value, and a head over classes upon it. Parameters keep
/// their names and order; those that the value does not follow from are left out, and the head's comes last. Throws
/// ConfigError for fewer than two classes, an operator that is not there, a name that is taken, and pooling that the
/// value's rows rule out.
template <class P>
TensorGraph<P> with_class_head(const TensorGraph<P>& graph, const ClassHead& head) {
  return WithClassHead<P>(graph, head).run();
}

}  // namespace greentrainer
