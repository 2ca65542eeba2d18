#pragma once

#include <vector>

#include "operator_case.hpp"

namespace greentrainer::testing {

/// Sizes of an attention; lengths of the packed sequences are known to the host.
struct AttentionSizes {
  Extent heads = 1;
  Extent kv_heads = 1;
  Extent head_dim = 4;
  bool causal = true;
  std::vector<Index> query_lengths;
  std::vector<Index> key_lengths;

  Extent query_rows() const { return offsets_of(query_lengths).back(); }
  Extent key_rows() const { return offsets_of(key_lengths).back(); }
  Extent pairs() const {
    Extent pairs = 0;
    for (std::size_t s = 0; s < query_lengths.size(); ++s) {
      for (Index i = 0; i < query_lengths[s]; ++i) pairs += causal ? std::min(i + 1, key_lengths[s]) : key_lengths[s];
    }
    return pairs;
  }
  std::string text_of() const {
    std::string lengths;
    for (std::size_t s = 0; s < query_lengths.size(); ++s) lengths += text(" ", query_lengths[s], "/", key_lengths[s]);
    return text(causal ? "causal " : "", heads, "/", kv_heads, " heads of ", head_dim, ", lengths", lengths);
  }
  /// Offsets of queries and keys are index arrays 0 and 1 of the case.
  template <class Data>
  AttentionShape shape(const Data& data) const {
    return {.heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .scale = 1 / std::sqrt(static_cast<double>(head_dim)),
            .causal = causal,
            .queries = sequences(data.index(0), query_lengths),
            .keys = sequences(data.index(1), key_lengths)};
  }
};

inline std::vector<Operand> attention_operands(const AttentionSizes& sizes) {
  const Extent q = sizes.query_rows(), k = sizes.key_rows(), wide = sizes.heads * sizes.head_dim, narrow = sizes.kv_heads * sizes.head_dim;
  return {{.name = "queries", .rows = q, .cols = wide, .gap = 3},
          {.name = "keys", .rows = k, .cols = narrow},
          {.name = "values", .rows = k, .cols = narrow, .gap = 1},
          {.name = "output", .rows = q, .cols = wide, .gap = 2},
          {.name = "stats", .rows = q, .cols = sizes.heads}};
}

inline auto attention_forward_case(const AttentionSizes& sizes) {
  std::vector<Operand> operands = attention_operands(sizes);
  operands[3].written = operands[4].written = true;
  return operator_case({.kernel = "attention_forward",
                        .shape = sizes.text_of(),
                        .flops = sizes.heads * (sizes.pairs() * (4 * sizes.head_dim + 4) + sizes.query_rows() * (sizes.head_dim + 3)),
                        .depth = sizes.head_dim,
                        .operands = std::move(operands),
                        .indices = {offsets_of(sizes.query_lengths), offsets_of(sizes.key_lengths)}},
                       [=](auto& b, auto& d) { b.attention_forward(sizes.shape(d), d.in(0), d.in(1), d.in(2), d.out(3), d.out(4)); });
}

/// Which gradients are asked for.
struct Wanted {
  bool queries = false, keys = false, values = false;
  bool through_scores() const { return queries || keys; }
};

inline auto attention_grad_case(const AttentionSizes& sizes, Wanted wanted) {
  std::vector<Operand> operands = attention_operands(sizes);
  const Extent d = sizes.head_dim;
  operands.push_back({.name = "grad_output", .rows = sizes.query_rows(), .cols = sizes.heads * d, .gap = 1});
  operands.push_back({.name = "grad_queries", .rows = sizes.query_rows(), .cols = sizes.heads * d, .written = wanted.queries});
  operands.push_back({.name = "grad_keys", .rows = sizes.key_rows(), .cols = sizes.kv_heads * d, .written = wanted.keys, .gap = 2});
  operands.push_back({.name = "grad_values", .rows = sizes.key_rows(), .cols = sizes.kv_heads * d, .written = wanted.values});
  const Extent products = (wanted.queries ? 1 : 0) + (wanted.keys ? 1 : 0) + (wanted.values ? 1 : 0);
  Flops flops = 0;
  if (products > 0) flops += sizes.pairs() * (2 * d + 3 + products * 2 * d);
  if (wanted.through_scores()) flops += sizes.pairs() * (2 * d + 3) + sizes.query_rows() * 2 * d;
  return operator_case(
      {.kernel = "attention_grad",
       .shape = sizes.text_of() + (wanted.queries ? " queries" : "") + (wanted.keys ? " keys" : "") + (wanted.values ? " values" : ""),
       .flops = flops * sizes.heads,
       .depth = std::max<Extent>(d, 64),
       .operands = std::move(operands),
       .indices = {offsets_of(sizes.query_lengths), offsets_of(sizes.key_lengths)}},
      [=](auto& b, auto& data) {
        const auto none = [](bool is_wanted, auto matrix) { return is_wanted ? matrix : decltype(matrix){}; };
        b.attention_grad(sizes.shape(data), data.in(0), data.in(1), none(wanted.through_scores(), data.in(2)),
                         none(wanted.through_scores(), data.in(3)), data.in(4), data.in(5), none(wanted.queries, data.out(6)),
                         none(wanted.keys, data.out(7)), none(wanted.values, data.out(8)));
      },
      [=](auto& b, auto& data) { b.attention_forward(sizes.shape(data), data.in(0), data.in(1), data.in(2), data.out(3), data.out(4)); });
}

inline std::vector<AttentionSizes> attention_sizes() {
  const std::vector<Index> ragged = {40, 1, 0, 7, 33};
  return {{.heads = 1, .kv_heads = 1, .head_dim = 4, .causal = true, .query_lengths = {1}, .key_lengths = {1}},
          {.heads = 2, .kv_heads = 2, .head_dim = 8, .causal = true, .query_lengths = ragged, .key_lengths = ragged},
          {.heads = 6, .kv_heads = 2, .head_dim = 10, .causal = true, .query_lengths = ragged, .key_lengths = ragged},
          {.heads = 2, .kv_heads = 1, .head_dim = 64, .causal = true, .query_lengths = {70, 3}, .key_lengths = {70, 3}},
          {.heads = 3, .kv_heads = 3, .head_dim = 5, .causal = false, .query_lengths = {3, 0, 5, 40}, .key_lengths = {4, 6, 0, 35}},
          {.heads = 4, .kv_heads = 2, .head_dim = 8, .causal = true, .query_lengths = {9, 2}, .key_lengths = {4, 6}},
          {.heads = 1, .kv_heads = 1, .head_dim = 6, .causal = true, .query_lengths = {530}, .key_lengths = {530}},
          {.heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .query_lengths = {0}, .key_lengths = {0}}};
}

template <class Visit>
void for_each_attention_case(Visit&& visit) {
  for (const AttentionSizes& sizes : attention_sizes()) {
    visit(attention_forward_case(sizes));
    for (int bits = 0; bits < 8; ++bits)
      visit(attention_grad_case(sizes, {.queries = (bits & 1) != 0, .keys = (bits & 2) != 0, .values = (bits & 4) != 0}));
  }
}

}  // namespace greentrainer::testing
