#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = x (R, width) with each row multiplied by its number in scale (R, 1).
struct ScaleRows {
  static constexpr std::string_view kind = "scale_rows";
  static constexpr bool row_by_row = true;
  enum Part { grad_input, grad_scale };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}, {rows, 1}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .keeps_inputs = bit(1)},
            {.name = "grad_scale", .kind = GradPart::Kind::input, .index = 1, .keeps_inputs = bit(0)}};
  }

  LinearCost forward_cost() const { return per(rows, width); }
  LinearCost part_cost(int part, Write) const { return per(rows, part == grad_input ? width : 2 * width); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.scale_rows(call.input(0), call.input(1), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    if (call.wants(grad_input)) call.backend.scale_rows(call.grad_output(), call.input(1), call.grad_input(0));
    if (call.wants(grad_scale)) call.backend.dot_rows(call.grad_output(), call.input(0), call.grad_input(1));
  }
};

}  // namespace greentrainer
