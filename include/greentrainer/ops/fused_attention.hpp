#pragma once

#include "greentrainer/ops/attention.hpp"

namespace greentrainer {

/// Causal self-attention of one projection (R, heads * 3 * head_dim) that holds each head's query, key and value side
/// by side (BLOOM), to (R, heads * head_dim). The kernels read the three in place. They have one gradient, needed as a
/// whole or not at all, so it is one part.
struct FusedAttention {
  static constexpr std::string_view kind = "fused_attention";
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent heads = 0;
  Extent head_dim = 0;
  double scale = 1;
  bool alibi = false;

  std::vector<ValueShape> input_shapes() const { return {{rows, heads * 3 * head_dim}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, heads * head_dim}, {rows, heads, false}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(0) | bit(1)}};
  }

  BitSet remembered_inputs() const { return bit(0); }

  LinearCost forward_cost() const {
    return per(pairs(), heads * (4 * head_dim + 4 + bias_flops())) + per(rows, heads * (head_dim + 3));
  }
  /// Probabilities, gradients of the scores, and three products.
  LinearCost part_cost(int, Write) const {
    return per(pairs(), heads * (10 * head_dim + 6 + bias_flops())) + per(rows, heads * 2 * head_dim);
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    const auto keys_and_values = call.remembered(0);
    call.backend.attention_forward(shape(call.batch), third(call.input(0), 0), third(keys_and_values, 1),
                                   third(keys_and_values, 2), Matrix<const T>{}, call.output(0), call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    const auto qkv = call.input(0);
    const auto grad = call.grad_input(0);
    call.backend.attention_grad(shape(call.batch), third(qkv, 0), third(qkv, 1), third(qkv, 2), Matrix<const T>{},
                                call.output(0), call.output(1), call.grad_output(), third(grad, 0), third(grad, 1),
                                third(grad, 2), Matrix<T>{});
  }

 private:
  Measure pairs() const { return pairs_of(rows, rows); }
  Extent bias_flops() const { return alibi ? 2 : 0; }
  /// The queries, keys or values of all heads; between two heads lie the other two.
  template <class T>
  Matrix<T> third(Matrix<T> qkv, Extent which) const {
    return {qkv.data + which * head_dim, qkv.rows, qkv.cols - 2 * head_dim, qkv.stride};
  }
  AttentionShape shape(const DeviceBatch& batch) const {
    return {.heads = heads,
            .kv_heads = heads,
            .head_dim = head_dim,
            .head_stride = 3 * head_dim,
            .scale = scale,
            .causal = true,
            .alibi = alibi,
            .relative = {},
            .queries = tokens_of(batch, rows).sequences,
            .keys = tokens_of(batch, rows).keys};
  }
};

}  // namespace greentrainer
