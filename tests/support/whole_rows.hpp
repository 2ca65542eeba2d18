#pragma once

#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/ops/gather_labelled.hpp"

namespace greentrainer::testing {

/// A model's graph with all rows of everything: rows are picked right in front of the loss. What pruned graphs are
/// compared with. Parameters keep their numbers.
template <class P>
TensorGraph<P> with_whole_rows(const TensorGraph<P>& graph) {
  TensorGraph<P> whole;
  for (const Parameter& p : graph.parameters()) whole.parameter(p.name, p.shape, p.first_values);
  std::vector<ValueId> ids(graph.values().size(), -1);
  for (const auto& node : graph.operators()) {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(ids[static_cast<std::size_t>(v)]);
    if (node.op->kind() == GatherLabelled::kind) {
      ids[static_cast<std::size_t>(node.outputs.front())] = inputs.front();
      continue;
    }
    auto op = node.op;
    if (op->is_loss()) {
      inputs = whole.add(GatherLabelled{.width = whole.value(inputs.front()).shape.cols}, "labelled_rows", inputs);
    } else if (graph.value(node.outputs.front()).shape.rows == Rows::labelled_tokens) {
      op = op->on_rows(Rows::decoder_tokens);
    }
    const auto outputs = whole.append(op, node.name, std::move(inputs), node.parameters);
    for (std::size_t o = 0; o < outputs.size(); ++o) ids[static_cast<std::size_t>(node.outputs[o])] = outputs[o];
  }
  whole.finish();
  return whole;
}

}  // namespace greentrainer::testing
