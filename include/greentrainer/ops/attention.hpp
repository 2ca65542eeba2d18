#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Softmax attention of queries (Rq, heads * head_dim) over keys and values (Rk, kv_heads * head_dim), within each packed sequence. Scores are
/// recomputed in the backward pass from queries, keys and one statistic a row and head, so no (tokens x tokens) matrix exists.
/// Cross-attention reads keys and values with encoder rows.
struct Attention {
  static constexpr std::string_view kind = "attention";
  enum Part { probabilities, grad_scores, grad_query, grad_key, grad_value };

  Rows query_rows = Rows::decoder_tokens;
  Rows key_rows = Rows::decoder_tokens;
  Extent heads = 0;
  Extent kv_heads = 0;
  Extent head_dim = 0;
  double scale = 1;
  bool causal = true;

  std::vector<ValueShape> input_shapes() const {
    return {{query_rows, heads * head_dim}, {key_rows, kv_heads * head_dim}, {key_rows, kv_heads * head_dim}};
  }
  std::vector<ValueShape> output_shapes() const { return {{query_rows, heads * head_dim}, {query_rows, heads, false}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    using enum GradPart::Kind;
    return {{.name = "probabilities", .kind = shared, .keeps_inputs = bit(0) | bit(1), .keeps_outputs = bit(1)},
            {.name = "grad_scores", .kind = shared, .after = bit(probabilities), .keeps_inputs = bit(2), .keeps_outputs = bit(0)},
            {.name = "grad_query", .kind = input, .index = 0, .after = bit(grad_scores)},
            {.name = "grad_key", .kind = input, .index = 1, .after = bit(grad_scores)},
            {.name = "grad_value", .kind = input, .index = 2, .after = bit(probabilities)}};
  }

  LinearCost forward_cost() const { return per(pairs(), heads * (4 * head_dim + 4)) + per(query_rows, heads * (head_dim + 3)); }
  LinearCost part_cost(int part, Write) const {
    switch (part) {
      case probabilities: return per(pairs(), heads * (2 * head_dim + 3));
      case grad_scores: return per(pairs(), heads * (2 * head_dim + 3)) + per(query_rows, heads * 2 * head_dim);
      default: return per(pairs(), heads * 2 * head_dim);
    }
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.attention_forward(shape(call.batch), call.input(0), call.input(1), call.input(2), call.output(0), call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    const auto wanted = [&](int part, int i) { return call.wants(part) ? call.grad_input(i) : Matrix<T>{}; };
    call.backend.attention_grad(shape(call.batch), call.input(0), call.input(1), call.input(2), call.output(0), call.output(1), call.grad_output(),
                                wanted(grad_query, 0), wanted(grad_key, 1), wanted(grad_value, 2));
  }

 private:
  Measure pairs() const {
    if (query_rows == Rows::encoder_tokens) return Measure::encoder_pairs;
    return key_rows == Rows::encoder_tokens ? Measure::cross_pairs : Measure::decoder_pairs;
  }
  AttentionShape shape(const DeviceBatch& batch) const {
    const auto sequences = [&](Rows rows) { return rows == Rows::encoder_tokens ? batch.encoder.sequences : batch.decoder.sequences; };
    return {.heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .scale = scale,
            .causal = causal,
            .queries = sequences(query_rows),
            .keys = sequences(key_rows)};
  }
};

}  // namespace greentrainer
