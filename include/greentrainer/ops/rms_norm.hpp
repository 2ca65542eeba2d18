#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = x / sqrt(mean(x^2) + epsilon) * weight over each row (R, width). Keeps x and one statistic a row.
struct RmsNorm {
  static constexpr std::string_view kind = "rms_norm";
  static constexpr bool row_by_row = true;
  enum Part { grad_input, grad_weight };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  double epsilon = 1e-6;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}, {rows, 1, false}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {{width}}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(1),
             .adds = true},
            {.name = "grad_weight",
             .kind = GradPart::Kind::parameter,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(1)}};
  }

  LinearCost forward_cost() const { return per(rows, 4 * width + 4); }
  LinearCost part_cost(int part, Write write) const {
    if (part == grad_weight) return per(rows, 3 * width);
    return per(rows, 7 * width + 4 + (write == Write::accumulate ? width : 0));
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.rms_norm_forward(call.input(0), call.parameter(0).data, epsilon, call.output(0), call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    if (call.wants(grad_weight))
      call.backend.rms_norm_grad_weight(dy, call.input(0), call.output(1), call.grad_parameter(0).data);
    if (call.wants(grad_input)) {
      call.backend.rms_norm_grad_input(dy, call.input(0), call.parameter(0).data, call.output(1), call.grad_input(0),
                                       call.write(0));
    }
  }
};

}  // namespace greentrainer
