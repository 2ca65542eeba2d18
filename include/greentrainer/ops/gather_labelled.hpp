#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Picks the rows that carry loss out of the decoder's tokens (tokens, width) -> (labelled, width), so that the output
/// head, and all in front of it that reads no other rows (with_pruned_rows), runs on them alone.
struct GatherLabelled {
  static constexpr std::string_view kind = "gather_labelled";
  enum Part { grad_input };

  Extent width = 0;

  std::vector<ValueShape> input_shapes() const { return {{Rows::decoder_tokens, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{Rows::labelled_tokens, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .adds = true}};
  }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write write) const {
    return per(Rows::labelled_tokens, write == Write::accumulate ? width : 0);
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.gather_rows(call.input(0), call.batch.label_rows, call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    call.backend.scatter_rows(call.grad_output(), call.batch.label_rows, call.grad_input(0), call.write(0));
  }
};

}  // namespace greentrainer
