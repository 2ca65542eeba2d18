#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = (x - mean) / sqrt(variance + epsilon) * weight, + bias if there is one, over each row (R, width). Keeps x and
/// two statistics a row for its weight and what lies below; its bias needs nothing.
struct LayerNorm {
  static constexpr std::string_view kind = "layer_norm";
  static constexpr bool row_by_row = true;
  enum Part { grad_input, grad_weight, grad_bias };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  double epsilon = 1e-5;
  bool bias = true;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}, {rows, 2, false}}; }
  std::vector<ParameterShape> parameter_shapes() const {
    return std::vector<ParameterShape>(bias ? 2 : 1, ParameterShape{width});
  }
  std::vector<GradPart> parts() const {
    std::vector<GradPart> parts = {{.name = "grad_input",
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
    if (bias) parts.push_back({.name = "grad_bias", .kind = GradPart::Kind::parameter, .index = 1});
    return parts;
  }

  LinearCost forward_cost() const { return per(rows, (bias ? 8 : 7) * width + 5); }
  LinearCost part_cost(int part, Write write) const {
    switch (part) {
      case grad_input: return per(rows, 13 * width + 2 + (write == Write::accumulate ? width : 0));
      case grad_weight: return per(rows, 4 * width);
      default: return per(rows, width);
    }
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    const T* const added = bias ? call.parameter(1).data : nullptr;
    call.backend.layer_norm_forward(call.input(0), call.parameter(0).data, added, epsilon, call.output(0),
                                    call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    if (call.wants(grad_weight))
      call.backend.layer_norm_grad_weight(dy, call.input(0), call.output(1), call.grad_parameter(0).data);
    if (bias && call.wants(grad_bias)) call.backend.bias_grad(dy, call.grad_parameter(1).data);
    if (call.wants(grad_input)) {
      call.backend.layer_norm_grad_input(dy, call.input(0), call.parameter(0).data, call.output(1), call.grad_input(0),
                                         call.write(0));
    }
  }
};

}  // namespace greentrainer
