#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

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

/// Cost of the backward pass that trains one parameter alone, of the parameter for which it is least. Prices must not
/// be negative. Takes about O(operators): parameters are tried in the order of what the dearest path to them costs,
/// until no other can be cheaper.
template <class P, CostModel<TensorGraph<P>> C>
std::int64_t cheapest_backward_cost(const TensorGraph<P>& graph, const C& cost, const Workload& workload) {
  std::vector<std::int64_t> to_value(graph.values().size(), 0);  // of the dearest path from the loss
  std::vector<std::pair<std::int64_t, ParameterId>> at_least;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) at_least.emplace_back(0, id);
  for (OperatorId id = static_cast<OperatorId>(graph.operators().size()); id-- > 0;) {
    const auto& node = graph.op(id);
    std::int64_t above = 0;
    for (const ValueId output : node.outputs) above = std::max(above, to_value[static_cast<std::size_t>(output)]);
    for (std::size_t p = 0; p < node.op->parts().size(); ++p) {
      const GradPart& part = node.op->parts()[p];
      if (part.kind == GradPart::Kind::shared) continue;
      const auto index = static_cast<std::size_t>(part.index);
      const std::int64_t path = above + evaluate(cost.part(graph, id, static_cast<int>(p)), workload);
      std::int64_t& dearest = part.kind == GradPart::Kind::input
                                  ? to_value[static_cast<std::size_t>(node.inputs[index])]
                                  : at_least[static_cast<std::size_t>(node.parameters[index])].first;
      dearest = std::max(dearest, path);
    }
  }
  std::sort(at_least.begin(), at_least.end());
  std::int64_t cheapest = std::numeric_limits<std::int64_t>::max();
  for (const auto& [bound, id] : at_least) {
    if (bound >= cheapest) break;
    Selection one = select_none(graph);
    one.insert(id);
    cheapest = std::min(cheapest, evaluate(backward_cost(graph, one, cost), workload));
  }
  return cheapest;
}

/// Cost of full fine-tuning: the forward pass and the backward pass that trains everything.
template <class P, CostModel<TensorGraph<P>> C>
LinearCost full_fine_tuning_cost(const TensorGraph<P>& graph, const C& cost) {
  return pass_cost(graph, training_plan(graph, select_all(graph)), cost).total();
}

}  // namespace greentrainer
