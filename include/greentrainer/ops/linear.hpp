#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y (R, out) = x (R, in) weight^T + bias, with weight (out, in) as PyTorch stores it. Frozen, it keeps nothing.
struct Linear {
  static constexpr std::string_view kind = "linear";
  static constexpr bool row_by_row = true;
  static constexpr BitSet any_format = bit(0);
  enum Part { grad_input, grad_weight, grad_bias };

  Rows rows = Rows::decoder_tokens;
  Extent in = 0;
  Extent out = 0;
  bool bias = false;

  std::vector<ValueShape> input_shapes() const { return {{rows, in}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, out}}; }
  std::vector<ParameterShape> parameter_shapes() const {
    std::vector<ParameterShape> shapes = {{out, in}};
    if (bias) shapes.push_back({out});
    return shapes;
  }
  std::vector<GradPart> parts() const {
    std::vector<GradPart> parts = {
        {.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .adds = true},
        {.name = "grad_weight", .kind = GradPart::Kind::parameter, .index = 0, .keeps_inputs = bit(0)}};
    if (bias) parts.push_back({.name = "grad_bias", .kind = GradPart::Kind::parameter, .index = 1});
    return parts;
  }

  LinearCost forward_cost() const { return per(rows, 2 * in * out + (bias ? out : 0)); }
  LinearCost part_cost(int part, Write) const { return per(rows, part == grad_bias ? out : 2 * in * out); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    matmul(call.backend, call.input(0), Transpose::no, call.weight(0), Transpose::yes, call.output(0),
           Write::overwrite);
    if (bias) call.backend.add_bias(call.output(0), call.parameter(1).data);
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    if (call.wants(grad_weight))
      call.backend.matmul(dy, Transpose::yes, call.input(0), Transpose::no, call.grad_parameter(0), Write::accumulate);
    if (bias && call.wants(grad_bias)) call.backend.bias_grad(dy, call.grad_parameter(1).data);
    if (call.wants(grad_input))
      matmul(call.backend, dy, Transpose::no, call.weight(0), Transpose::no, call.grad_input(0), call.write(0));
  }
};

}  // namespace greentrainer
