#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// y = a + b (R, width): the residual connection. Its gradient passes to both for free.
struct Add {
  static constexpr std::string_view kind = "add";
  static constexpr bool row_by_row = true;

  Rows rows = Rows::decoder_tokens;
  Extent width = 0;

  std::vector<ValueShape> input_shapes() const { return {{rows, width}, {rows, width}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, width}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_a", .kind = GradPart::Kind::input, .index = 0, .passes = true, .adds = true},
            {.name = "grad_b", .kind = GradPart::Kind::input, .index = 1, .passes = true, .adds = true}};
  }
  /// The branch's last value, which no gradient reads.
  int in_place_input() const { return 1; }

  LinearCost forward_cost() const { return per(rows, width); }
  LinearCost part_cost(int, Write write) const { return per(rows, write == Write::accumulate ? width : 0); }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.add(call.input(0), call.input(1), call.output(0));
  }
  /// The plan shares grad_output's memory where it can; what is left to do here is to add to, or copy for, an input
  /// with gradients of its own.
  template <class B>
  void backward(BackwardCall<B>& call) const {
    for (int i = 0; i < 2; ++i) {
      const auto dx = call.grad_input(i);
      const auto dy = call.grad_output();
      if (!call.wants(i) || dx.data == dy.data) continue;
      if (call.write(i) == Write::accumulate)
        call.backend.accumulate(dy, dx);
      else if (dy.size() > 0)
        call.backend.copy(dx.data, dy.data, dy.size() * static_cast<Bytes>(sizeof(*dx.data)));
    }
  }
};

}  // namespace greentrainer
