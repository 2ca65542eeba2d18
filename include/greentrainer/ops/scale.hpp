#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = factor * x (R, width).
struct Scale {
  static constexpr std::string_view kind = "scale";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;
  double factor = 1;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0, .in_place = true}};
  }
  int in_place_input() const { return 0; }

  LinearCost forward_cost() const { return per(rows, width); }
  LinearCost part_cost(int, Write) const { return per(rows, width); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    scale(call.backend, call.input(0), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    scale(call.backend, call.grad_output(), call.grad_input(0));
  }

 private:
  /// The kernel works in place; plans give it the same memory where they can.
  template <class B, class T>
  void scale(B& backend, Matrix<const T> x, Matrix<T> y) const {
    if (y.data != x.data && x.size() > 0) backend.copy(y.data, x.data, x.size() * static_cast<Bytes>(sizeof(T)));
    backend.scale(y.size(), y.data, factor);
  }
};

}  // namespace greentrainer
