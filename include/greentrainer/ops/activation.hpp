#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// FLOPs an element of an activation and of its gradient, the product with grad_output included.
constexpr Extent activation_flops(Activation kind) {
  switch (kind) {
    case Activation::relu: return 0;
    case Activation::gelu: return 5;
    case Activation::gelu_tanh: return 9;
    case Activation::silu: return 3;
    case Activation::tanh: return 1;
    case Activation::relu_squared: return 1;
    case Activation::sigmoid: return 3;
  }
  return 0;
}
constexpr Extent activation_grad_flops(Activation kind) {
  switch (kind) {
    case Activation::relu: return 0;
    case Activation::gelu: return 11;
    case Activation::gelu_tanh: return 19;
    case Activation::silu: return 8;
    case Activation::tanh: return 4;
    case Activation::relu_squared: return 2;
    case Activation::sigmoid: return 6;
  }
  return 0;
}

/// y = f(x), element by element (R, width). ReLU keeps its output, which the next layer's weight gradient reads anyway;
/// the others their input.
struct Activate {
  static constexpr std::string_view kind = "activation";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  Activation function = Activation::relu;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    const bool from_output = function == Activation::relu;
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = from_output ? 0 : bit(0),
             .keeps_outputs = from_output ? bit(0) : 0,
             .in_place = true}};
  }
  int in_place_input() const { return 0; }

  LinearCost forward_cost() const { return per(rows, width * activation_flops(function)); }
  LinearCost part_cost(int, Write) const { return per(rows, width * activation_grad_flops(function)); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.activation_forward(function, call.input(0), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto saved = function == Activation::relu ? call.output(0) : call.input(0);
    call.backend.activation_grad(function, call.grad_output(), saved, call.grad_input(0));
  }
};

/// y = f(gate) * up, element by element (R, width): SwiGLU with SiLU, GEGLU with GELU.
struct GatedActivation {
  static constexpr std::string_view kind = "gated_activation";
  static constexpr bool row_by_row = true;
  enum Part { grad_gate, grad_up };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  Activation function = Activation::silu;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}, {rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_gate", .kind = GradPart::Kind::input, .index = 0, .keeps_inputs = bit(0) | bit(1)},
            {.name = "grad_up", .kind = GradPart::Kind::input, .index = 1, .keeps_inputs = bit(0)}};
  }
  int in_place_input() const { return 1; }

  LinearCost forward_cost() const { return per(rows, width * (activation_flops(function) + 1)); }
  LinearCost part_cost(int part, Write) const {
    return per(rows, width * ((part == grad_gate ? activation_grad_flops(function) : activation_flops(function)) + 1));
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.gated_forward(function, call.input(0), call.input(1), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    const auto dy = call.grad_output();
    if (call.wants(grad_gate))
      call.backend.gated_grad_gate(function, dy, call.input(0), call.input(1), call.grad_input(0));
    if (call.wants(grad_up)) call.backend.gated_grad_up(function, dy, call.input(0), call.grad_input(1));
  }
};

}  // namespace greentrainer
