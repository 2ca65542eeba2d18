#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Takes apart a projection (R, heads * 3 * head_dim) that holds each head's query, key and value side by side:
/// queries, keys and values, each (R, heads * head_dim). For keys and values that get rows of their own in front;
/// without such, FusedAttention reads the three in place.
struct SplitHeads {
  static constexpr std::string_view kind = "split_heads";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent heads = 0;
  Extent head_dim = 0;

  std::vector<ValueShape> input_shapes() const { return {{rows, 3 * heads * head_dim}}; }
  std::vector<ValueShape> output_shapes() const { return std::vector<ValueShape>(3, {rows, heads * head_dim}); }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const { return {{.name = "grad_input", .kind = GradPart::Kind::input, .index = 0}}; }

  LinearCost forward_cost() const { return {}; }
  LinearCost part_cost(int, Write) const { return {}; }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    for (int which = 0; which < 3; ++which)
      call.backend.copy_matrix(third(call.input(0), which), by_head(call.output(which)));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    for (int which = 0; which < 3; ++which) {
      const auto grad = call.grad_output(which);
      call.backend.copy_matrix(by_head(grad), third(call.grad_input(0), which));
    }
  }

 private:
  // With a row for each head, the queries, keys and values are columns.
  template <class T>
  Matrix<T> by_head(Matrix<T> x) const {
    return {x.data, x.rows * heads, head_dim};
  }
  template <class T>
  Matrix<T> third(Matrix<T> qkv, int which) const {
    return {qkv.data + which * head_dim, qkv.rows * heads, head_dim, 3 * head_dim};
  }
};

}  // namespace greentrainer
