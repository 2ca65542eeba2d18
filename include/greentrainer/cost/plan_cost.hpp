#pragma once

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/graph/pass_plan.hpp"
#include "greentrainer/graph/selection.hpp"

namespace greentrainer {

/// Cost of a pass by phase.
struct PassCost {
  LinearCost forward = {};  ///< loss included
  LinearCost recomputed = {};
  LinearCost backward = {};

  LinearCost total() const { return forward + recomputed + backward; }
};

/// The sum over the steps of a plan. The backward step of the loss does its forward work, too.
template <class P, CostModel<TensorGraph<P>> C>
PassCost pass_cost(const TensorGraph<P>& graph, const PassPlan& plan, const C& cost) {
  PassCost total;
  for (const auto& step : plan.steps) {
    if (step.phase == PassPlan::Phase::recompute) total.recomputed += cost.forward(graph, step.op);
    if (step.phase == PassPlan::Phase::forward || graph.op(step.op).op->is_loss())
      total.forward += cost.forward(graph, step.op);
    const int parts = static_cast<int>(graph.op(step.op).op->parts().size());
    for (int p = 0; p < parts; ++p) {
      if ((step.parts & bit(p)) != 0) total.backward += cost.part(graph, step.op, p);
    }
  }
  return total;
}

/// Cost of the forward pass, loss included.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost forward_cost(const TensorGraph<P>& graph, const C& cost) {
  return pass_cost(graph, evaluation_plan(graph), cost).forward;
}

/// Cost of the backward pass that trains a selection.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost backward_cost(const TensorGraph<P>& graph, const Selection& selection, const C& cost) {
  return pass_cost(graph, training_plan(graph, selection), cost).backward;
}

/// Cost of full fine-tuning: the forward pass and the backward pass that trains everything.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost full_fine_tuning_cost(const TensorGraph<P>& graph, const C& cost) {
  return pass_cost(graph, training_plan(graph, select_all(graph)), cost).total();
}

}  // namespace greentrainer
