#pragma once

#include "greentrainer/graph/memory_layout.hpp"

namespace greentrainer {

/// Bytes by purpose at the worst moment of a training step.
struct MemoryEstimate {
  Bytes weights = 0;
  Bytes gradients = 0;    ///< of the selected parameters
  Bytes optimizer = 0;    ///< state of the selected parameters
  Bytes activations = 0;  ///< values and their gradients, as the plan's lifetimes lay them out
  Bytes workspace = 0;    ///< scratch of the operator that needs most: a chunk of logits
  Bytes copies = 0;       ///< saved weights of the importance phase

  Bytes total() const { return weights + gradients + optimizer + activations + workspace + copies; }
};

template <class P>
Bytes parameter_bytes(const TensorGraph<P>& graph, const Selection& selection, Bytes element_size) {
  Extent elements = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) elements += graph.parameter(id).size();
  }
  return elements * element_size;
}

template <class P>
Bytes workspace_bytes(const TensorGraph<P>& graph, const Workload& workload, Bytes element_size) {
  Extent most = 0;
  for (const auto& node : graph.operators()) most = std::max(most, node.op->workspace(workload));
  return MemoryLayout::aligned(most * element_size);
}

/// Peak of training the selection on batches of this workload. `optimizer_bytes_per_element`: of state (AdamW: two
/// elements).
template <class P>
MemoryEstimate training_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                               Bytes element_size, Bytes optimizer_bytes_per_element) {
  const auto lifetimes = make_lifetimes(graph, training_plan(graph, selection));
  const Bytes selected = parameter_bytes(graph, selection, element_size);
  return {.weights = parameter_bytes(graph, select_all(graph), element_size),
          .gradients = selected,
          .optimizer = selected / element_size * optimizer_bytes_per_element,
          .activations = make_memory_layout(lifetimes, workload, element_size).total,
          .workspace = workspace_bytes(graph, workload, element_size)};
}

/// Peak of the importance phase, in which all candidates' gradients are formed but never held together: a full backward
/// pass, `gradient_elements` (TransientGradients::elements, and the metric's scratch_elements) of gradients, a saved
/// copy of the candidates if the metric moves them, and the optimizer state of the selection.
template <class P>
MemoryEstimate importance_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                                 Bytes element_size, Bytes optimizer_bytes_per_element, Extent gradient_elements,
                                 bool saves_weights) {
  MemoryEstimate estimate = training_memory(graph, select_all(graph), workload, element_size, 0);
  estimate.optimizer = parameter_bytes(graph, selection, element_size) / element_size * optimizer_bytes_per_element;
  estimate.copies = saves_weights ? estimate.weights : 0;
  estimate.gradients = gradient_elements * element_size;
  return estimate;
}

/// Peak of a step that trains everything and takes importances from its gradients: these are held together, optimizer
/// state exists for `selection`, which was trained before, and `scratch_elements` are the metric's.
template <class P>
MemoryEstimate importance_step_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                                      Bytes element_size, Bytes optimizer_bytes_per_element, Extent scratch_elements) {
  MemoryEstimate estimate =
      importance_memory(graph, selection, workload, element_size, optimizer_bytes_per_element, scratch_elements, false);
  estimate.gradients += estimate.weights;
  return estimate;
}

}  // namespace greentrainer
