#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

using ValueId = int;
using OperatorId = int;
using ParameterId = int;

/// Where a parameter's first values come from: the model's checkpoint or, for one that is added to the model, zero,
/// U(-b, b) with b = 1 / sqrt(columns), or the standard normal distribution.
enum class FirstValues { checkpoint, zero, uniform, normal };

/// A trainable tensor by the name it has in the checkpoint. Shape (out, in) or (n).
struct Parameter {
  std::string name = {};
  ParameterShape shape = {};
  FirstValues first_values = FirstValues::checkpoint;
  /// What it is stored in until it is trained; null: the backend's elements.
  const StorageFormat* format = nullptr;

  /// Added to the model, so not a tensor of its checkpoint.
  bool is_adapter() const { return first_values != FirstValues::checkpoint; }
  Extent rows() const { return shape.size() < 2 ? 1 : shape[0]; }
  Extent cols() const { return shape.empty() ? 0 : shape.back(); }
  Extent size() const { return rows() * cols(); }
};

/// A model as a directed acyclic graph: operators in the order of the forward pass, the values between them, and the
/// named parameters they read. Structure only: no weights, no numbers of a batch. P is the policy, a Backend or
/// anything that only knows costs. Parameters are numbered in the order they are declared, which is the checkpoint's.
/// The last operator computes the loss.
template <class P>
class TensorGraph {
 public:
  struct Value {
    ValueShape shape;
    OperatorId producer = -1;
    std::vector<std::pair<OperatorId, int>> uses;  ///< (operator, which of its inputs), in forward order
  };
  struct Operator {
    std::string name;
    std::shared_ptr<const AnyOperator<P>> op;
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
    std::vector<ParameterId> parameters;
  };
  /// Operator `op` reads the parameter as its `index`-th, through gradient part `part`.
  struct ParameterUse {
    OperatorId op;
    int index;
    int part;
  };

  /// Declares a parameter. Throws ConfigError if the name is taken.
  ParameterId parameter(std::string name, ParameterShape shape, FirstValues first_values = FirstValues::checkpoint) {
    const auto id = static_cast<ParameterId>(parameters_.size());
    if (!by_name_.emplace(name, id).second)
      throw ConfigError("TensorGraph", name, "expected a new parameter name, got one that is declared");
    parameters_.push_back({std::move(name), std::move(shape), first_values});
    uses_.emplace_back();
    first_readers_.push_back(-1);
    return id;
  }

  /// Declares a parameter of another graph, as it is there.
  ParameterId parameter(const Parameter& other) {
    const ParameterId id = parameter(other.name, other.shape, other.first_values);
    parameters_.back().format = other.format;
    return id;
  }

  /// Whether a format can store a parameter: it is of the model's checkpoint, a matrix with rows of whole blocks, and
  /// all operators that read it take any format.
  bool can_store(ParameterId id, const StorageFormat& format) const {
    const Parameter& p = parameter(id);
    if (p.is_adapter() || p.shape.size() < 2 || p.cols() % static_cast<Extent>(format.block) != 0) return false;
    for (const Operator& node : operators_) {
      for (std::size_t i = 0; i < node.parameters.size(); ++i) {
        if (node.parameters[i] == id && ((node.op->any_format() >> i) & 1U) == 0) return false;
      }
    }
    return true;
  }
  /// Stores a parameter in a format until it is trained, or with null in the backend's elements. Throws ConfigError if
  /// the format cannot store it.
  void store_in(ParameterId id, const StorageFormat* format) {
    if (format != nullptr && !can_store(id, *format)) {
      throw ConfigError("TensorGraph", parameter(id).name,
                        text("expected a matrix of rows of whole blocks that products and lookups alone read, for ",
                             format->name, ", got another"));
    }
    parameters_[static_cast<std::size_t>(id)].format = format;
  }

  /// Appends an operator; returns its outputs. Throws ShapeError naming the operator if an input or parameter has
  /// another shape than it expects, ConfigError if its gradient parts name inputs, outputs, parameters or parts that
  /// are not there, or if it has a window of attention of another width than an operator before.
  template <class Op>
  std::vector<ValueId> add(Op op, std::string name, std::vector<ValueId> inputs,
                           std::vector<ParameterId> parameters = {}) {
    return append(std::make_shared<ErasedOperator<Op, P>>(std::move(op)), std::move(name), std::move(inputs),
                  std::move(parameters));
  }
  /// The same for an operator of another graph.
  std::vector<ValueId> append(std::shared_ptr<const AnyOperator<P>> op, std::string name, std::vector<ValueId> inputs,
                              std::vector<ParameterId> parameters) {
    check_shapes(*op, name, inputs, parameters);
    check_parts(*op, name);
    windows_.join_window(op->forward_cost().window);
    const auto id = static_cast<OperatorId>(operators_.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) value_ref(inputs[i]).uses.emplace_back(id, static_cast<int>(i));
    for (const ParameterId p : parameters) {
      OperatorId& first = first_readers_[static_cast<std::size_t>(p)];
      if (first < 0) first = id;
    }
    for (int p = 0; p < static_cast<int>(op->parts().size()); ++p) {
      const GradPart& part = op->parts()[static_cast<std::size_t>(p)];
      if (part.kind != GradPart::Kind::parameter) continue;
      uses_[static_cast<std::size_t>(parameters[static_cast<std::size_t>(part.index)])].push_back({id, part.index, p});
    }
    std::vector<ValueId> outputs;
    for (const ValueShape& shape : op->output_shapes()) {
      outputs.push_back(static_cast<ValueId>(values_.size()));
      values_.push_back({shape, id, {}});
    }
    operators_.push_back({std::move(name), std::move(op), std::move(inputs), outputs, std::move(parameters)});
    return outputs;
  }

  /// Checks the graph as a whole; call it once, after the last operator. Throws ConfigError, also for a
  /// parameter that no gradient can reach: what is not trained stays outside of the graph.
  void finish() const {
    if (operators_.empty() || !operators_.back().op->is_loss())
      throw ConfigError("TensorGraph", "graph", "expected the last operator to be a loss");
    for (const auto& value : values_) {
      if (!value.shape.differentiable) continue;
      const auto& producer = operators_[static_cast<std::size_t>(value.producer)];
      if (value.uses.empty())
        throw ConfigError("TensorGraph", producer.name, "expected its output to reach the loss, got no use of it");
      for (const auto& [id, input] :
           value.uses) {  // the last user's gradient is the first to come, all others are added to it
        const int part = input_part(id, input);
        if (part >= 0 && contribution(id, input) == Write::accumulate &&
            !op(id).op->parts()[static_cast<std::size_t>(part)].adds) {
          throw ConfigError("TensorGraph", op(id).name,
                            "expected an input with no later use, since its gradient cannot be added to others");
        }
      }
    }
    check_reach();
  }

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Operator>& operators() const { return operators_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
  const Operator& op(OperatorId id) const { return operators_[static_cast<std::size_t>(id)]; }
  const Parameter& parameter(ParameterId id) const { return parameters_[static_cast<std::size_t>(id)]; }
  /// Those through which it gets a gradient.
  const std::vector<ParameterUse>& uses(ParameterId id) const { return uses_[static_cast<std::size_t>(id)]; }
  /// The first operator that reads a parameter, with a gradient or without.
  OperatorId first_reader(ParameterId id) const { return first_readers_[static_cast<std::size_t>(id)]; }

  /// Learned rows in front of each sequence's keys and values; 0: none.
  Extent prefix_rows() const {
    Extent rows = 0;
    for (const Value& value : values_) rows = std::max(rows, value.shape.prefix);
    return rows;
  }

  /// What pairs in a window of attention are counted for (MeasureVector::window); 0 where there is no window.
  Extent window() const { return windows_.window; }

  /// Whether some value has rows of a kind.
  bool has_rows(Rows rows) const {
    return std::any_of(values_.begin(), values_.end(), [&](const Value& value) { return value.shape.rows == rows; });
  }

  std::optional<ParameterId> find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
  }

  /// The gradient part of an operator that belongs to one of its inputs, or -1.
  int input_part(OperatorId id, int input) const {
    const auto& parts = op(id).op->parts();
    const auto found = std::find_if(parts.begin(), parts.end(), [&](const GradPart& p) {
      return p.kind == GradPart::Kind::input && p.index == input;
    });
    return found == parts.end() ? -1 : static_cast<int>(found - parts.begin());
  }

  /// Whether the gradient that an operator contributes to one of its inputs replaces or adds to what is there: the last
  /// user that has one writes, earlier ones add.
  Write contribution(OperatorId id, int input) const {
    const auto& uses = value(op(id).inputs[static_cast<std::size_t>(input)]).uses;
    const auto last = std::find_if(uses.rbegin(), uses.rend(),
                                   [&](const auto& use) { return input_part(use.first, use.second) >= 0; });
    return last != uses.rend() && *last == std::pair(id, input) ? Write::overwrite : Write::accumulate;
  }

 private:
  Value& value_ref(ValueId id) { return values_[static_cast<std::size_t>(id)]; }

  void check_shapes(const AnyOperator<P>& op, const std::string& name, const std::vector<ValueId>& inputs,
                    const std::vector<ParameterId>& parameters) const {
    const auto expected = op.input_shapes();
    if (expected.size() != inputs.size())
      throw ShapeError(name, "inputs", text("expected ", expected.size(), ", got ", inputs.size()));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] < 0 || inputs[i] >= static_cast<ValueId>(values_.size()))
        throw ShapeError(name, text("input ", i), "no such value");
      if (value(inputs[i]).shape != expected[i]) {
        const ValueShape got = value(inputs[i]).shape;
        throw ShapeError(name, text("input ", i),
                         text("expected width ", expected[i].cols, " and rows of ", name_of(expected[i].rows),
                              ", got width ", got.cols, " and rows of ", name_of(got.rows)));
      }
    }
    const auto shapes = op.parameter_shapes();
    if (shapes.size() != parameters.size())
      throw ShapeError(name, "parameters", text("expected ", shapes.size(), ", got ", parameters.size()));
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (parameters[i] < 0 || parameters[i] >= static_cast<ParameterId>(parameters_.size()))
        throw ShapeError(name, text("parameter ", i), "no such parameter");
      if (parameter(parameters[i]).shape != shapes[i])
        throw ShapeError(
            name, parameter(parameters[i]).name,
            text("expected shape ", shape_text(shapes[i]), ", got ", shape_text(parameter(parameters[i]).shape)));
    }
  }

  /// Checks what plans, prices and lifetimes rely on and do not check again.
  static void check_parts(const AnyOperator<P>& op, const std::string& name) {
    const auto expect = [&](const GradPart& part, bool holds, const char* what) {
      if (!holds) throw ConfigError("TensorGraph", text(name, ", gradient part ", part.name), text("expected ", what));
    };
    const auto all = [](std::size_t count) { return static_cast<BitSet>((std::uint64_t{1} << count) - 1); };
    const auto& parts = op.parts();
    const std::size_t inputs = op.input_shapes().size(), outputs = op.output_shapes().size(),
                      parameters = op.parameter_shapes().size();
    if (std::max({parts.size(), inputs, outputs}) > 32)
      throw ConfigError("TensorGraph", name, "expected at most 32 parts, inputs or outputs");
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const GradPart& part = parts[p];
      const std::size_t count = part.kind == GradPart::Kind::input       ? inputs
                                : part.kind == GradPart::Kind::parameter ? parameters
                                                                         : 1;
      expect(part, part.index >= 0 && static_cast<std::size_t>(part.index) < count,
             "the index of an input or parameter that the operator has");
      expect(part, (part.after & ~all(p)) == 0, "to come behind the parts that it needs");
      expect(part, (part.keeps_inputs & ~all(inputs)) == 0, "to keep inputs that the operator has");
      expect(part, (part.keeps_outputs & ~all(outputs)) == 0, "to keep outputs that the operator has");
    }
  }

  /// Checks that a gradient reaches every parameter: an operator that passes none cuts off everything below it.
  void check_reach() const {
    std::vector<bool> has_gradient(values_.size(), false);
    for (OperatorId id = static_cast<OperatorId>(operators_.size()); id-- > 0;) {
      const Operator& node = op(id);
      const bool reached = node.op->is_loss() ||
                           std::any_of(node.outputs.begin(), node.outputs.end(),
                                       [&](ValueId output) { return has_gradient[static_cast<std::size_t>(output)]; });
      for (const GradPart& part : node.op->parts()) {
        if (part.kind == GradPart::Kind::shared) continue;
        const auto index = static_cast<std::size_t>(part.index);
        if (reached && part.kind == GradPart::Kind::input)
          has_gradient[static_cast<std::size_t>(node.inputs[index])] = true;
        if (!reached && part.kind == GradPart::Kind::parameter) {
          throw ConfigError("TensorGraph", parameter(node.parameters[index]).name,
                            text("expected a gradient to reach it, got ", node.name,
                                 " none of whose outputs has one; what is not trained stays outside of the graph"));
        }
      }
    }
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (!uses_[p].empty()) continue;
      throw ConfigError("TensorGraph", parameters_[p].name,
                        "expected a use of the parameter with a gradient, got none");
    }
  }

  std::vector<Value> values_;
  std::vector<Operator> operators_;
  std::vector<Parameter> parameters_;
  std::vector<std::vector<ParameterUse>> uses_;
  std::vector<OperatorId> first_readers_;
  std::unordered_map<std::string, ParameterId> by_name_;
  LinearCost windows_;  ///< of all operators
};

}  // namespace greentrainer
