#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Rotary position embedding of (R, heads * shape.head_dim).
struct Rotary {
  static constexpr std::string_view kind = "rotary";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent heads = 0;
  RotaryShape shape = {};

  std::vector<ValueShape> input_shapes() const { return {{rows, heads * shape.head_dim}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, heads * shape.head_dim}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .in_place = true}};
  }
  int in_place_input() const { return 0; }

  LinearCost forward_cost() const { return per(rows, 3 * heads * shape.columns()); }
  LinearCost part_cost(int, Write) const { return per(rows, 3 * heads * shape.columns()); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.rotary(call.input(0), positions(call.batch), shape, Rotation::forward, call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    call.backend.rotary(call.grad_output(), positions(call.batch), shape, Rotation::backward, call.grad_input(0));
  }

 private:
  const Index* positions(const DeviceBatch& batch) const { return tokens_of(batch, rows).positions; }
};

}  // namespace greentrainer
