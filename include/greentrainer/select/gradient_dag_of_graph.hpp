#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// The gradient graph of a model at the prices of a cost model and a workload; item i is parameter i. Importances are
/// zero, to be filled in. A piece of an operator's backward pass needs the gradients of the operator's outputs, that
/// is, the pieces that all users of these contribute; those that read them detached contribute none.
template <class P, CostModel<TensorGraph<P>> C>
GradientDag gradient_dag_of(const TensorGraph<P>& graph, const C& cost, const Workload& workload,
                            const DetachedInputs& detached = {}) {
  GradientDag dag;
  dag.items.resize(graph.parameters().size());
  std::vector<std::vector<int>> contributions(graph.values().size());  // nodes that make up the gradient of a value
  std::vector<int> node_of_part;

  for (OperatorId id = static_cast<OperatorId>(graph.operators().size()); id-- > 0;) {
    const auto& op = graph.op(id);
    std::vector<int> needs;
    for (const ValueId output : op.outputs)
      needs.insert(needs.end(), contributions[static_cast<std::size_t>(output)].begin(),
                   contributions[static_cast<std::size_t>(output)].end());
    const auto& parts = op.op->parts();
    node_of_part.assign(parts.size(), -1);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const GradPart& part = parts[p];
      if (part.kind == GradPart::Kind::input && detached.contains(id, part.index)) continue;
      std::vector<int> all = needs;
      for (std::size_t q = 0; q < p; ++q) {
        if (((part.after >> q) & 1U) != 0) all.push_back(node_of_part[q]);
      }
      std::sort(all.begin(), all.end());
      all.erase(std::unique(all.begin(), all.end()), all.end());
      const std::int64_t price = evaluate(cost.part(graph, id, static_cast<int>(p)), workload);
      if (part.kind == GradPart::Kind::parameter) {
        auto& item = dag.items[static_cast<std::size_t>(op.parameters[static_cast<std::size_t>(part.index)])];
        item.cost += price;
        item.needs.insert(item.needs.end(), all.begin(), all.end());
        continue;
      }
      node_of_part[p] = static_cast<int>(dag.nodes.size());
      dag.nodes.push_back({price, std::move(all)});
      if (part.kind == GradPart::Kind::input) {
        contributions[static_cast<std::size_t>(op.inputs[static_cast<std::size_t>(part.index)])].push_back(
            node_of_part[p]);
      }
    }
  }
  for (auto& item : dag.items) {
    std::sort(item.needs.begin(), item.needs.end());
    item.needs.erase(std::unique(item.needs.begin(), item.needs.end()), item.needs.end());
  }
  return dag;
}

}  // namespace greentrainer
