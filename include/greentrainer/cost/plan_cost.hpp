#pragma once

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/graph/backward_plan.hpp"

namespace greentrainer {

/// Cost of the forward pass, loss included.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost forward_cost(const TensorGraph<P>& graph, const C& cost) {
  LinearCost total;
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id)
    total += cost.forward(graph, id);
  return total;
}

/// Cost of a backward pass: the sum over the parts that its plan computes.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost backward_cost(const TensorGraph<P>& graph, const BackwardPlan& plan, const C& cost) {
  LinearCost total;
  for (const auto& step : plan.steps) {
    const int parts = static_cast<int>(graph.op(step.op).op->parts().size());
    for (int p = 0; p < parts; ++p) {
      if ((step.parts & bit(p)) != 0) total += cost.part(graph, step.op, p);
    }
  }
  return total;
}

/// Cost of full fine-tuning: the forward pass and the backward pass that trains everything.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost full_fine_tuning_cost(const TensorGraph<P>& graph, const C& cost) {
  return forward_cost(graph, cost) + backward_cost(graph, make_backward_plan(graph, select_all(graph)), cost);
}

}  // namespace greentrainer
