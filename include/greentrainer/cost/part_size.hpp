#pragma once

#include <cstddef>
#include <string>

#include "greentrainer/core/text.hpp"
#include "greentrainer/cost/operator_times.hpp"
#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// The forward pass of an operator, as a part's number.
inline constexpr int forward_part = -1;

/// What the time of an operator's part is proportional to: its FLOPs; where it has none, the elements that it writes.
/// Zero for a part that only hands memory on.
template <class P>
LinearCost part_size(const TensorGraph<P>& graph, OperatorId id, int part) {
  const auto& node = graph.op(id);
  const auto elements = [&](ValueId value) {
    const ValueShape& shape = graph.value(value).shape;
    return per(shape.rows, shape.cols);
  };
  if (part == forward_part) {
    const LinearCost flops = node.op->forward_cost();
    return flops != LinearCost{} || node.outputs.empty() ? flops : elements(node.outputs.front());
  }
  const GradPart& grad = node.op->parts()[static_cast<std::size_t>(part)];
  if (grad.passes) return {};
  const auto index = static_cast<std::size_t>(grad.index);
  const bool of_input = grad.kind == GradPart::Kind::input;
  const LinearCost flops = node.op->part_cost(part, of_input ? graph.contribution(id, grad.index) : Write::overwrite);
  if (flops != LinearCost{}) return flops;
  if (of_input) return elements(node.inputs[index]);
  return node.outputs.empty() ? flops : elements(node.outputs.front());
}

/// The key of an operator's part: its kind, its name, and its size for a unit of each measure. Equal parts of
/// different layers and models have the same.
template <class P>
std::string part_key(const TensorGraph<P>& graph, OperatorId id, int part) {
  const auto& op = *graph.op(id).op;
  std::string key =
      text(op.kind(), ' ', part == forward_part ? "forward" : op.parts()[static_cast<std::size_t>(part)].name);
  const LinearCost size = part_size(graph, id, part);
  for (std::size_t m = 0; m < measure_count; ++m) {
    if (size.values[m] != 0) key += text(' ', m, ':', size.values[m]);
  }
  return key;
}

/// The first operator of a graph with a part whose time is not known; empty if all are.
template <class P>
std::string first_unmeasured(const TensorGraph<P>& graph, const OperatorTimes& times) {
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const int parts = static_cast<int>(graph.op(id).op->parts().size());
    for (int part = forward_part; part < parts; ++part) {
      if (part_size(graph, id, part) != LinearCost{} && !times.parts.contains(part_key(graph, id, part)))
        return graph.op(id).name;
    }
  }
  return "";
}

}  // namespace greentrainer
