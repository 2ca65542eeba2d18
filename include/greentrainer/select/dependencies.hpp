#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// A problem whose tensors need no activation gradients: each costs its own weight gradient. This is the view of a
/// selector that adds up tensors one by one; the true cost of what it chooses is higher.
inline SelectionProblem without_dependencies(SelectionProblem problem) {
  problem.dag.nodes.clear();
  for (GradientDag::Item& item : problem.dag.items) item.needs.clear();
  return problem;
}

/// The problem of a graph (see gradient_dag_of) as the paper's rules see it, at the prices that are there: the gradient
/// passes the tensors one after another, from the last of the checkpoint to the first, and a tensor needs what lies
/// with those behind it. An activation gradient lies with the first parameter of its operator (a layer's weight); one
/// of an operator without parameters of its own (attention, an activation, a tied output head) with the last parameter
/// of the operator that its last input comes from, as the paper's attention lies with the value projection. Node k lies
/// with the k-th parameter from the end.
template <class P>
SelectionProblem with_chain_dependencies(const TensorGraph<P>& graph, const SelectionProblem& problem) {
  const std::size_t count = graph.parameters().size();
  std::vector<std::size_t> first(graph.operators().size(), count - 1),
      last(first);  // parameters that gradients lie with: its own, those behind it
  for (std::size_t id = 0; id < graph.operators().size(); ++id) {
    const auto& op = graph.operators()[id];
    if (!op.parameters.empty() && graph.uses(op.parameters.front()).size() == 1) {
      first[id] = static_cast<std::size_t>(op.parameters.front());
      last[id] = static_cast<std::size_t>(op.parameters.back());
    } else if (!op.inputs.empty()) {
      first[id] = last[id] = last[static_cast<std::size_t>(graph.value(op.inputs.back()).producer)];
    }
  }
  std::vector<std::int64_t> grad_input(count, 0);
  std::size_t node = 0;
  for (std::size_t id = graph.operators().size(); id-- > 0;) {  // in the order of gradient_dag_of
    for (const GradPart& part : graph.operators()[id].op->parts()) {
      if (part.kind != GradPart::Kind::parameter) grad_input[first[id]] += problem.dag.nodes[node++].cost;
    }
  }

  SelectionProblem chain{.dag = {.nodes = {}, .items = problem.dag.items, .worth = problem.dag.worth},
                         .budget = problem.budget};
  for (std::size_t k = 0; k < count; ++k) {
    const std::vector<int> needs = k == 0 ? std::vector<int>{} : std::vector<int>{static_cast<int>(k) - 1};
    chain.dag.items[count - 1 - k].needs = needs;
    chain.dag.nodes.push_back({grad_input[count - 1 - k], needs});
  }
  return chain;
}

}  // namespace greentrainer
