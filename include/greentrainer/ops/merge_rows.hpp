#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Puts the decoder's rows together again: those of the context (context, width) and the labelled ones
/// (labelled, width) -> (tokens, width). Gradients go to the labelled rows, and to the context's where these are no
/// constants.
struct MergeRows {
  static constexpr std::string_view kind = "merge_rows";
  enum Part { grad_labelled, grad_context };

  Extent width = 0;
  bool context_is_constant = true;

  std::vector<ValueShape> input_shapes() const {
    return {{Rows::context_tokens, width, !context_is_constant}, {Rows::labelled_tokens, width}};
  }
  std::vector<ValueShape> output_shapes() const { return {{Rows::decoder_tokens, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    std::vector<GradPart> parts = {{.name = "grad_labelled", .kind = GradPart::Kind::input, .index = 1}};
    if (!context_is_constant) parts.push_back({.name = "grad_context", .kind = GradPart::Kind::input, .index = 0});
    return parts;
  }

  /// Rows are added to zeros.
  LinearCost forward_cost() const { return per(Rows::labelled_tokens, width); }
  LinearCost part_cost(int, Write) const { return {}; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.scatter_rows(call.input(0), call.batch.context_rows, call.output(0), Write::overwrite);
    call.backend.scatter_rows(call.input(1), call.batch.label_rows, call.output(0), Write::accumulate);
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    if (call.wants(grad_labelled))
      call.backend.gather_rows(call.grad_output(), call.batch.label_rows, call.grad_input(1));
    if (call.wants(grad_context))
      call.backend.gather_rows(call.grad_output(), call.batch.context_rows, call.grad_input(0));
  }
};

}  // namespace greentrainer
