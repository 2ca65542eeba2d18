#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// The measure that counts an attention's pairs of a query and a key it sees.
constexpr Measure pairs_of(Rows query_rows, Rows key_rows) {
  if (query_rows == Rows::encoder_tokens) return Measure::encoder_pairs;
  const bool across = key_rows == Rows::encoder_tokens;
  if (query_rows == Rows::context_tokens) return Measure::context_pairs;
  if (query_rows == Rows::labelled_tokens) return across ? Measure::labelled_cross_pairs : Measure::labelled_pairs;
  return across ? Measure::cross_pairs : Measure::decoder_pairs;
}

/// The same of a causal attention with a window.
constexpr Measure window_pairs_of(Rows query_rows) {
  if (query_rows == Rows::context_tokens) return Measure::context_window_pairs;
  return query_rows == Rows::labelled_tokens ? Measure::labelled_window_pairs : Measure::window_pairs;
}

/// AttentionShape::positions: of queries that are some of the tokens that they attend to.
inline const Index* query_positions(const DeviceBatch& batch, Rows query_rows, Rows key_rows) {
  const bool some = query_rows != key_rows && key_rows == Rows::decoder_tokens;
  return some ? tokens_of(batch, query_rows).positions : nullptr;
}

/// Softmax attention of queries (Rq, heads * head_dim) over keys and values (Rk, kv_heads * head_dim), within each
/// packed sequence. Scores are recomputed in the backward pass from queries, keys and one statistic a row and head, so
/// no (tokens x tokens) matrix exists. Cross-attention reads keys and values with encoder rows. With relative.buckets >
/// 0 there is a parameter, the relative position bias (buckets, heads), which several attentions may share. With sinks
/// there is one more (heads): a logit that joins each softmax and has no value.
struct Attention {
  static constexpr std::string_view kind = "attention";
  enum Part { probabilities, grad_scores, grad_query, grad_key, grad_value, grad_bias };  ///< then that of sinks

  Rows query_rows = Rows::decoder_tokens;
  Rows key_rows = Rows::decoder_tokens;
  Extent heads = 0;
  Extent kv_heads = 0;
  Extent head_dim = 0;
  double scale = 1;
  double score_cap = 0;  ///< see AttentionShape
  bool causal = true;
  Extent window = 0;  ///< see AttentionShape: of tokens to themselves, without a prefix
  bool alibi = false;
  RelativeBias relative = {};
  bool sinks = false;
  Extent prefix = 0;  ///< rows in front of each sequence's keys and values, which every query sees

  std::vector<ValueShape> input_shapes() const {
    const ValueShape keys{key_rows, kv_heads * head_dim, true, prefix};
    return {{query_rows, heads * head_dim}, keys, keys};
  }
  std::vector<ValueShape> output_shapes() const { return {{query_rows, heads * head_dim}, {query_rows, heads, false}}; }
  std::vector<ParameterShape> parameter_shapes() const {
    std::vector<ParameterShape> shapes;
    if (has_table()) shapes.push_back({relative.buckets, heads});
    if (sinks) shapes.push_back({heads});
    return shapes;
  }
  std::vector<GradPart> parts() const {
    using enum GradPart::Kind;
    std::vector<GradPart> parts = {
        {.name = "probabilities", .kind = shared, .keeps_inputs = bit(0) | bit(1), .keeps_outputs = bit(1)},
        {.name = "grad_scores",
         .kind = shared,
         .after = bit(probabilities),
         .keeps_inputs = bit(2),
         .keeps_outputs = bit(0)},
        {.name = "grad_query", .kind = input, .index = 0, .after = bit(grad_scores)},
        {.name = "grad_key", .kind = input, .index = 1, .after = bit(grad_scores)},
        {.name = "grad_value", .kind = input, .index = 2, .after = bit(probabilities)}};
    if (has_table()) parts.push_back({.name = "grad_bias", .kind = parameter, .index = 0, .after = bit(grad_scores)});
    if (sinks) {
      parts.push_back(
          {.name = "grad_sinks", .kind = parameter, .index = sinks_index(), .keeps_outputs = bit(0) | bit(1)});
    }
    return parts;
  }
  /// For queries of some tokens alone: keys and values are those of all.
  Attention on_rows(Rows rows) const {
    Attention other = *this;
    other.query_rows = rows;
    return other;
  }
  BitSet row_inputs() const { return bit(0); }
  /// Keys and values, where they are the queries' own tokens.
  BitSet remembered_inputs() const { return key_rows == Rows::decoder_tokens ? bit(1) | bit(2) : 0; }

  LinearCost forward_cost() const {
    const Extent of_sinks = sinks ? head_dim + 8 : 0;
    return per_pair(heads * (4 * head_dim + 4 + score_flops())) + per(query_rows, heads * (head_dim + 3 + of_sinks));
  }
  LinearCost part_cost(int part, Write) const {
    if (sinks && part == sinks_part()) return per(query_rows, heads * (2 * head_dim + 4));
    switch (part) {
      case probabilities: return per_pair(heads * (2 * head_dim + 3 + score_flops()));
      case grad_scores:
        return per_pair(heads * (2 * head_dim + 3 + cap_flops())) + per(query_rows, heads * 2 * head_dim);
      case grad_bias: return per_pair(heads);
      default: return per_pair(heads * 2 * head_dim);
    }
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    using T = typename ForwardCall<B>::T;
    call.backend.attention_forward(shape(call.batch), call.input(0), call.remembered(1), call.remembered(2),
                                   has_table() ? call.parameter(0) : Matrix<const T>{}, call.output(0), call.output(1));
    if (sinks) call.backend.attention_sink_forward(call.parameter(sinks_index()), call.output(0), call.output(1));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    using T = typename BackwardCall<B>::T;
    if (sinks && call.wants(sinks_part())) {
      call.backend.attention_sink_grad(call.parameter(sinks_index()), call.output(0), call.output(1),
                                       call.grad_output(), call.grad_parameter(sinks_index()));
    }
    if (!call.wants(probabilities)) return;  // which every other gradient needs
    const auto wanted = [&](int part, int i) { return call.wants(part) ? call.grad_input(i) : Matrix<T>{}; };
    call.backend.attention_grad(shape(call.batch), call.input(0), call.input(1), call.input(2),
                                has_table() ? call.parameter(0) : Matrix<const T>{}, call.output(0), call.output(1),
                                call.grad_output(), wanted(grad_query, 0), wanted(grad_key, 1), wanted(grad_value, 2),
                                has_table() && call.wants(grad_bias) ? call.grad_parameter(0) : Matrix<T>{});
  }

 private:
  bool has_table() const { return relative.buckets > 0; }
  int sinks_index() const { return has_table() ? 1 : 0; }
  int sinks_part() const { return has_table() ? grad_bias + 1 : grad_bias; }
  /// `amount` for every pair of a query and a key it sees.
  LinearCost per_pair(std::int64_t amount) const {
    if (window == 0) return per(pairs_of(query_rows, key_rows), amount) + per(query_rows, prefix * amount);
    LinearCost cost = per(window_pairs_of(query_rows), amount);
    cost.window = window;
    return cost;
  }
  Extent cap_flops() const { return score_cap > 0 ? 3 : 0; }
  /// Of what becomes of one scaled score.
  Extent score_flops() const { return cap_flops() + (alibi ? 2 : 0) + (has_table() ? 1 : 0); }
  AttentionShape shape(const DeviceBatch& batch) const {
    return {.heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .scale = scale,
            .score_cap = score_cap,
            .causal = causal,
            .window = window,
            .alibi = alibi,
            .relative = relative,
            .queries = tokens_of(batch, query_rows).sequences,
            .keys = tokens_of(batch, key_rows).keys,
            .positions = query_positions(batch, query_rows, key_rows)};
  }
};

}  // namespace greentrainer
