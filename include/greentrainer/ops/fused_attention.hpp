#pragma once

#include "greentrainer/ops/attention.hpp"

namespace greentrainer {

/// Causal self-attention of one projection (R, heads * 3 * head_dim) that holds each head's query, key and value side
/// by side (BLOOM), to (Rq, heads * head_dim): for the queries of all rows, or of some. The kernels read the three in
/// place. They have one gradient, needed as a whole or not at all, so it is one part.
struct FusedAttention {
  static constexpr std::string_view kind = "fused_attention";
  enum Part { grad_input };

  Rows query_rows = Rows::decoder_tokens;
  Rows rows = Rows::decoder_tokens;
  Extent heads = 0;
  Extent head_dim = 0;
  double scale = 1;
  bool alibi = false;

  std::vector<ValueShape> input_shapes() const { return {{rows, columns()}}; }
  std::vector<ValueShape> output_shapes() const { return {{query_rows, heads * head_dim}, {query_rows, heads, false}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = bit(0),
             .keeps_outputs = bit(0) | bit(1)}};
  }

  FusedAttention on_rows(Rows some) const {
    FusedAttention other = *this;
    other.query_rows = some;
    return other;
  }
  BitSet row_inputs() const { return 0; }
  BitSet remembered_inputs() const { return bit(0); }

  LinearCost forward_cost() const {
    return per(pairs(), heads * (4 * head_dim + 4 + bias_flops())) + per(query_rows, heads * (head_dim + 3));
  }
  /// Probabilities, gradients of the scores, and three products.
  LinearCost part_cost(int, Write) const {
    return per(pairs(), heads * (10 * head_dim + 6 + bias_flops())) + per(query_rows, heads * 2 * head_dim);
  }
  /// Some rows' projections, and what their gradients come to.
  Extent workspace(const Workload& workload) const {
    return takes_all_rows() ? 0 : 2 * workload[measure_of(query_rows)] * columns();
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    const auto keys_and_values = call.remembered(0);
    call.backend.attention_forward(shape(call.batch), third(with_queries(call), 0), third(keys_and_values, 1),
                                   third(keys_and_values, 2), Matrix<const T>{}, call.output(0), call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    const Matrix<const T> qkv = call.input(0), queries = with_queries(call);
    const auto grad = call.grad_input(0);
    const auto grad_queries =
        takes_all_rows() ? grad : Matrix<T>{call.workspace + queries.size(), queries.rows, queries.cols};
    call.backend.attention_grad(shape(call.batch), third(queries, 0), third(qkv, 1), third(qkv, 2), Matrix<const T>{},
                                call.output(0), call.output(1), call.grad_output(), third(grad_queries, 0),
                                third(grad, 1), third(grad, 2), Matrix<T>{});
    for (Extent head = 0; !takes_all_rows() && head < heads; ++head) {
      call.backend.scatter_rows(query_of(grad_queries, head), places_of(call.batch, query_rows), query_of(grad, head),
                                Write::overwrite);
    }
  }

 private:
  bool takes_all_rows() const { return query_rows == rows; }
  Extent columns() const { return heads * 3 * head_dim; }
  Measure pairs() const { return pairs_of(query_rows, rows); }
  Extent bias_flops() const { return alibi ? 2 : 0; }

  /// The projections of the rows whose queries are taken.
  template <class Call>
  auto with_queries(Call& call) const {
    using T = typename Call::T;
    if (takes_all_rows()) return call.input(0);
    const Matrix<T> some{call.workspace, call.output(0).rows, columns()};
    call.backend.gather_rows(call.input(0), places_of(call.batch, query_rows), some);
    return Matrix<const T>(some);
  }
  /// The queries, keys or values of all heads; between two heads lie the other two.
  template <class T>
  Matrix<T> third(Matrix<T> qkv, Extent which) const {
    return {qkv.data + which * head_dim, qkv.rows, qkv.cols - 2 * head_dim, qkv.stride};
  }
  template <class T>
  Matrix<T> query_of(Matrix<T> qkv, Extent head) const {
    return {qkv.data + head * 3 * head_dim, qkv.rows, head_dim, qkv.stride};
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
            .queries = tokens_of(batch, query_rows).sequences,
            .keys = tokens_of(batch, rows).keys,
            .positions = query_positions(batch, query_rows, rows)};
  }
};

}  // namespace greentrainer
