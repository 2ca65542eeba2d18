#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Puts the decoder's rows together again: those of the context (context, width), which are constants here, and the
/// labelled ones (labelled, width) -> (tokens, width). Gradients go to the labelled rows alone.
struct MergeRows {
  static constexpr std::string_view kind = "merge_rows";
  enum Part { grad_labelled };

  Extent width = 0;

  std::vector<ValueShape> input_shapes() const {
    return {{Rows::context_tokens, width, false}, {Rows::labelled_tokens, width}};
  }
  std::vector<ValueShape> output_shapes() const { return {{Rows::decoder_tokens, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const { return {{.name = "grad_labelled", .kind = GradPart::Kind::input, .index = 1}}; }

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
    call.backend.gather_rows(call.grad_output(), call.batch.label_rows, call.grad_input(1));
  }
};

}  // namespace greentrainer
