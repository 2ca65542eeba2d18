#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/graph/selection.hpp"
#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// What the backward pass of a selection computes, in which order, and what it reads of the forward pass. The executor
/// runs it, cost models add it up, memory estimates walk its lifetimes: nothing else decides what is computed or kept.
struct BackwardPlan {
  struct Step {
    OperatorId op = -1;
    BitSet parts = 0;
    BitSet keeps_inputs = 0;  ///< forward values that these parts read
    BitSet keeps_outputs = 0;
    BitSet grad_inputs = 0;   ///< inputs whose gradients come out
    BitSet grad_outputs = 0;  ///< outputs whose gradients are read
    bool in_place = false;    ///< the gradient of the one input may be written over that of the output
    bool passes = false;      ///< the gradients of the inputs are the output's
  };

  std::vector<Step> steps;           ///< in order of execution: from the loss towards the inputs
  std::vector<bool> value_has_grad;  ///< for each value: its gradient is computed

  /// Nothing is trained: the loss is computed, no gradient is.
  bool empty() const { return steps.empty(); }
};

/// An operator takes part if one of its parameters is selected or a gradient must come out below it; it then computes
/// just the parts these need. O(operators).
template <class P>
BackwardPlan make_backward_plan(const TensorGraph<P>& graph, const Selection& selection) {
  if (selection.mask().size() != graph.parameters().size()) {
    throw ConfigError("make_backward_plan", text("selection: expected ", graph.parameters().size(), " parameters, got ",
                                                 selection.mask().size()));
  }
  BackwardPlan plan;
  plan.value_has_grad.assign(graph.values().size(), false);

  // Forward: a gradient must reach every operator with a selected parameter, and every operator above one.
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& node = graph.op(id);
    BackwardPlan::Step step{.op = id};
    const auto& parts = node.op->parts();
    for (std::size_t p = parts.size(); p-- > 0;) {  // parts come after those they need
      const GradPart& part = parts[p];
      const auto index = static_cast<std::size_t>(part.index);
      bool wanted = ((step.parts >> p) & 1U) != 0;
      if (part.kind == GradPart::Kind::parameter) wanted = selection.contains(node.parameters[index]);
      if (part.kind == GradPart::Kind::input)
        wanted = plan.value_has_grad[static_cast<std::size_t>(node.inputs[index])];
      if (!wanted) continue;
      step.parts |= bit(static_cast<int>(p)) | part.after;
      step.keeps_inputs |= part.keeps_inputs;
      step.keeps_outputs |= part.keeps_outputs;
      if (part.kind == GradPart::Kind::input) {
        step.grad_inputs |= bit(part.index);
        step.in_place = part.in_place;
        step.passes = part.passes;
      }
    }
    if (step.parts == 0) continue;
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      if (!graph.value(node.outputs[o]).shape.differentiable) continue;
      plan.value_has_grad[static_cast<std::size_t>(node.outputs[o])] = true;
      step.grad_outputs |= bit(static_cast<int>(o));
    }
    plan.steps.push_back(step);
  }
  std::reverse(plan.steps.begin(), plan.steps.end());
  return plan;
}

}  // namespace greentrainer
