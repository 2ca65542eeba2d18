#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/graph/selection.hpp"
#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// What a pass over a batch does, step by step. The time of a step is its index. The executor runs the steps, cost
/// models add them up, memory estimates walk their lifetimes: nothing else decides what is computed or kept.
struct PassPlan {
  enum class Phase {
    forward,
    recompute,  ///< a forward step again, for values that were not kept
    backward,
  };

  struct Step {
    OperatorId op = -1;
    Phase phase = Phase::forward;
    BitSet parts = 0;         ///< of a backward step: the parts that are computed
    BitSet inputs = 0;        ///< forward values that are read, among the operator's inputs
    BitSet outputs = 0;       ///< among its outputs: written by a forward step, read by a backward step
    BitSet remembered = 0;    ///< inputs that are read with their rows of earlier passes
    BitSet grad_inputs = 0;   ///< inputs whose gradients come out
    BitSet grad_outputs = 0;  ///< outputs whose gradients are read
    BitSet in_place = 0;      ///< inputs whose gradient may be written over that of the output
    BitSet passes = 0;        ///< inputs whose gradient is that of the output

    bool is_backward() const { return phase == Phase::backward; }
  };

  std::vector<Step> steps = {};
  std::vector<ValueId> given = {};        ///< values that exist before the first step and are not computed
  std::vector<ValueId> taken = {};        ///< values that are handed out as soon as they are computed
  std::vector<bool> value_has_grad = {};  ///< for each value: its gradient is computed

  /// Whether some step is a backward one. The first of these is that of the loss, which does the loss's forward work,
  /// too.
  bool trains() const { return !steps.empty() && steps.back().is_backward(); }

  /// Index of the first backward step, or of the last step of a plan without one: values that outlive the step before
  /// are kept for the backward pass.
  int turning_point() const {
    const auto first = std::find_if(steps.begin(), steps.end(), [](const Step& s) { return s.is_backward(); });
    return static_cast<int>(first - steps.begin()) - (first == steps.end() ? 1 : 0);
  }
};

/// The set {0, ..., count - 1}.
constexpr BitSet all_of(std::size_t count) { return static_cast<BitSet>((std::uint64_t{1} << count) - 1); }

/// The step that computes an operator's outputs from its inputs.
template <class P>
PassPlan::Step forward_step(const TensorGraph<P>& graph, OperatorId id,
                            PassPlan::Phase phase = PassPlan::Phase::forward) {
  const auto& node = graph.op(id);
  return {.op = id, .phase = phase, .inputs = all_of(node.inputs.size()), .outputs = all_of(node.outputs.size())};
}

/// Every operator forward, the loss last.
template <class P>
PassPlan evaluation_plan(const TensorGraph<P>& graph) {
  PassPlan plan;
  plan.value_has_grad.assign(graph.values().size(), false);
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id)
    plan.steps.push_back(forward_step(graph, id));
  return plan;
}

namespace detail {

/// Whether an operator computes the gradient of a value that needs one: not where it reads it as a constant. Throws
/// ConfigError where that gradient would be the first to be written, which others are added to.
template <class P>
bool contributes(const TensorGraph<P>& graph, const Selection& selection, OperatorId id, int input) {
  if (!selection.detached().contains(id, input)) return true;
  if (graph.contribution(id, input) == Write::overwrite) {
    throw ConfigError("training_plan", graph.op(id).name,
                      text("expected a detached input that is read again later, got input ", input,
                           ", whose gradient other ones are added to"));
  }
  return false;
}

}  // namespace detail

/// Backward steps of a selection, from the loss towards the inputs. An operator takes part if one of its parameters is
/// selected or a gradient must come out below it; it then computes just the parts these need. Fills value_has_grad.
/// O(operators). Throws ConfigError for a selection of another graph, and for a detached input whose gradient other
/// ones are added to.
template <class P>
std::vector<PassPlan::Step> backward_steps(const TensorGraph<P>& graph, const Selection& selection,
                                           std::vector<bool>& value_has_grad) {
  if (selection.mask().size() != graph.parameters().size()) {
    throw ConfigError("training_plan", "selection",
                      text("expected ", graph.parameters().size(), " parameters, got ", selection.mask().size()));
  }
  std::vector<PassPlan::Step> steps;
  value_has_grad.assign(graph.values().size(), false);

  // In forward order: a gradient must reach every operator with a selected parameter, and every operator above one.
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& node = graph.op(id);
    PassPlan::Step step{.op = id, .phase = PassPlan::Phase::backward};
    const auto& parts = node.op->parts();
    for (std::size_t p = parts.size(); p-- > 0;) {  // parts come after those they need
      const GradPart& part = parts[p];
      const auto index = static_cast<std::size_t>(part.index);
      bool wanted = ((step.parts >> p) & 1U) != 0;
      if (part.kind == GradPart::Kind::parameter) wanted = selection.contains(node.parameters[index]);
      if (part.kind == GradPart::Kind::input) {
        wanted = value_has_grad[static_cast<std::size_t>(node.inputs[index])] &&
                 detail::contributes(graph, selection, id, part.index);
      }
      if (!wanted) continue;
      step.parts |= bit(static_cast<int>(p)) | part.after;
      step.inputs |= part.keeps_inputs;
      step.outputs |= part.keeps_outputs;
      if (part.kind == GradPart::Kind::input) {
        step.grad_inputs |= bit(part.index);
        if (part.in_place) step.in_place |= bit(part.index);
        if (part.passes) step.passes |= bit(part.index);
      }
    }
    if (step.parts == 0) continue;
    if (node.op->is_loss()) step.inputs = all_of(node.inputs.size());  // its forward work is done here
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      if (!graph.value(node.outputs[o]).shape.differentiable) continue;
      value_has_grad[static_cast<std::size_t>(node.outputs[o])] = true;
      step.grad_outputs |= bit(static_cast<int>(o));
    }
    steps.push_back(step);
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

/// The forward pass and the backward pass that a selection needs. With nothing selected it is the evaluation plan.
template <class P>
PassPlan training_plan(const TensorGraph<P>& graph, const Selection& selection) {
  PassPlan plan = evaluation_plan(graph);
  const auto backward = backward_steps(graph, selection, plan.value_has_grad);
  if (backward.empty()) return plan;
  plan.steps.pop_back();  // the loss
  plan.steps.insert(plan.steps.end(), backward.begin(), backward.end());
  return plan;
}

}  // namespace greentrainer
