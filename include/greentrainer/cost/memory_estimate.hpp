#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "greentrainer/graph/batch_numbers.hpp"
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
  Bytes cached = 0;       ///< values below a cut, kept for examples, and those of the batch that is read
  Bytes batch = 0;        ///< ids, positions, offsets and labels, features and targets
  Bytes scratch = 0;      ///< that the backend's kernels keep for themselves

  Bytes total() const {
    return weights + gradients + optimizer + activations + workspace + copies + cached + batch + scratch;
  }
};

template <class P>
Bytes parameter_bytes(const TensorGraph<P>& graph, const Selection& selection, Bytes element_size) {
  Extent elements = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) elements += graph.parameter(id).size();
  }
  return elements * element_size;
}

/// Of all weights, of which `trained` have elements of their own; the others lie in their storage formats, if any.
template <class P>
Bytes weight_bytes(const TensorGraph<P>& graph, const Selection& trained, Bytes element_size) {
  Bytes total = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    const Parameter& p = graph.parameter(id);
    if (p.format == nullptr || trained.contains(id))
      total += p.size() * element_size;
    else
      total += StoredMatrix{p.format, nullptr, p.rows(), p.cols()}.bytes();
  }
  return total;
}

template <class P>
Bytes workspace_bytes(const TensorGraph<P>& graph, const Workload& workload, Bytes element_size) {
  Extent most = 0;
  for (const auto& node : graph.operators()) most = std::max(most, node.op->workspace(workload));
  return MemoryLayout::aligned(most * element_size);
}

/// Bytes of a batch's index arrays and numbers, as BatchUpload lays them out for a graph.
template <class P>
Bytes batch_bytes(const TensorGraph<P>& graph, const Workload& workload) {
  const Extent prefix = graph.prefix_rows();
  const auto stream = [](Extent tokens, Extent sequences, bool keys_apart) {
    return 2 * tokens + (keys_apart ? 2 : 1) * (sequences + 1);
  };
  const Extent context =
      graph.has_rows(Rows::context_tokens)
          ? stream(workload[Measure::context_tokens], workload[Measure::decoder_sequences], prefix > 0) +
                workload[Measure::context_tokens]
          : 0;
  const BatchNumbers numbers = batch_numbers(graph);
  const Bytes of_numbers =
      static_cast<Bytes>(sizeof(typename ScalarOf<P>::type)) *
      (numbers.features * workload[Measure::decoder_tokens] + numbers.targets * workload[Measure::labelled_tokens]);
  return of_numbers +
         static_cast<Bytes>(sizeof(Index)) *
             (context + stream(workload[Measure::decoder_tokens], workload[Measure::decoder_sequences], prefix > 0) +
              stream(workload[Measure::labelled_tokens], workload[Measure::decoder_sequences], prefix > 0) +
              stream(workload[Measure::encoder_tokens], workload[Measure::encoder_sequences], false) +
              2 * workload[Measure::labelled_tokens]);
}

/// The most that kernels of a backend keep for themselves, where it says so: P::most_scratch_bytes(), and where a graph
/// has weights in a storage format P::most_decoding_bytes() more.
template <class P>
Bytes kernel_scratch_bytes(const TensorGraph<P>& graph) {
  Bytes most = 0;
  if constexpr (requires { P::most_scratch_bytes(); }) most += P::most_scratch_bytes();
  if constexpr (requires { P::most_decoding_bytes(); }) {
    const auto is_stored = [](const Parameter& p) { return p.format != nullptr; };
    if (std::ranges::any_of(graph.parameters(), is_stored)) most += P::most_decoding_bytes();
  }
  return most;
}

/// What an optimizer holds: state of each selected parameter, and scratch of its own.
class UpdateMemory {
 public:
  /// So many bytes of state for each element (AdamW: two elements), and no scratch.
  UpdateMemory(Bytes per_element) : state_([per_element](const Parameter& p) { return p.size() * per_element; }) {}
  UpdateMemory(std::function<Bytes(const Parameter&)> state, Bytes scratch)
      : state_(std::move(state)), scratch_(scratch) {}

  Bytes state(const Parameter& p) const { return state_(p); }
  template <class P>
  Bytes state(const TensorGraph<P>& graph, const Selection& selection) const {
    Bytes total = 0;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) total += state_(graph.parameter(id));
    }
    return total;
  }
  Bytes scratch() const { return scratch_; }

 private:
  std::function<Bytes(const Parameter&)> state_;
  Bytes scratch_ = 0;
};

/// Peak of a pass that trains the selection on batches of this workload.
template <class P>
MemoryEstimate pass_memory(const TensorGraph<P>& graph, const PassPlan& plan, const Selection& selection,
                           const Workload& workload, Bytes element_size, const UpdateMemory& updates) {
  return {.weights = weight_bytes(graph, selection, element_size),
          .gradients = parameter_bytes(graph, selection, element_size),
          .optimizer = updates.state(graph, selection),
          .activations = make_memory_layout(make_lifetimes(graph, plan), workload, element_size).total,
          .workspace = workspace_bytes(graph, workload, element_size),
          .batch = batch_bytes(graph, workload),
          .scratch = kernel_scratch_bytes(graph) + updates.scratch()};
}

/// The same without recomputation.
template <class P>
MemoryEstimate training_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                               Bytes element_size, const UpdateMemory& updates) {
  return pass_memory(graph, training_plan(graph, selection), selection, workload, element_size, updates);
}

/// Peak of the importance phase, in which all candidates' gradients are formed but never held together: a full backward
/// pass, `gradient_elements` (TransientGradients::elements, and the metric's scratch_elements) of gradients, a saved
/// copy of the candidates if the metric moves them, and the optimizer state of the selection.
template <class P>
MemoryEstimate importance_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                                 Bytes element_size, const UpdateMemory& updates, Extent gradient_elements,
                                 bool saves_weights) {
  MemoryEstimate estimate = training_memory(graph, select_all(graph), workload, element_size, updates);
  estimate.weights = weight_bytes(graph, selection, element_size);
  estimate.optimizer = updates.state(graph, selection);
  estimate.copies = saves_weights ? estimate.weights : 0;
  estimate.gradients = gradient_elements * element_size;
  return estimate;
}

/// Peak of a step that trains everything and takes importances from its gradients: these are held together, optimizer
/// state exists for `selection`, which was trained before, and `scratch_elements` are the metric's.
template <class P>
MemoryEstimate importance_step_memory(const TensorGraph<P>& graph, const Selection& selection, const Workload& workload,
                                      Bytes element_size, const UpdateMemory& updates, Extent scratch_elements) {
  MemoryEstimate estimate =
      importance_memory(graph, selection, workload, element_size, updates, scratch_elements, false);
  estimate.weights = parameter_bytes(graph, select_all(graph), element_size);
  estimate.gradients += estimate.weights;
  return estimate;
}

}  // namespace greentrainer
