#pragma once

#include <vector>

#include "operator_case.hpp"

namespace greentrainer::testing {

/// Sizes of an attention; lengths of the sequences are known to the host.
struct AttentionSizes {
  Extent heads = 1;
  Extent kv_heads = 1;
  Extent head_dim = 4;
  bool causal = true;
  std::vector<Index> query_lengths;
  std::vector<Index> key_lengths;
  Index key_room = 0;   ///< unused rows after each sequence's keys, as a cache has them
  Extent head_gap = 0;  ///< unused columns between heads
  bool alibi = false;
  RelativeBias relative = {};
  /// Of the queries of all sequences among their keys; empty: they follow each other.
  std::vector<Index> positions = {};
  Index window = 0;
  double score_cap = 0;

  Extent query_rows() const { return offsets_of(query_lengths).back(); }
  Extent key_rows() const {
    return offsets_of(key_lengths).back() + key_room * static_cast<Extent>(key_lengths.size());
  }
  /// Columns of queries, or of keys and values.
  Extent columns(Extent some_heads) const { return some_heads * (head_dim + head_gap) - head_gap; }
  Extent pairs() const {
    Extent pairs = 0;
    std::size_t row = 0;
    for (std::size_t s = 0; s < query_lengths.size(); ++s) {
      const Index cached = std::max(0, key_lengths[s] - query_lengths[s]);
      for (Index i = 0; i < query_lengths[s]; ++i, ++row) {
        const Index position = positions.empty() ? cached + i : positions[row];
        const Index seen = causal ? std::min(position + 1, key_lengths[s]) : key_lengths[s];
        pairs += window > 0 ? std::min(seen, window) : seen;
      }
    }
    return pairs;
  }
  Extent cap_flops() const { return score_cap > 0 ? 3 : 0; }
  /// Of what becomes of one scaled score.
  Extent score_flops() const { return cap_flops() + (alibi ? 2 : 0) + (relative.buckets > 0 ? 1 : 0); }
  std::string text_of() const {
    std::string lengths;
    for (std::size_t s = 0; s < query_lengths.size(); ++s) lengths += text(" ", query_lengths[s], "/", key_lengths[s]);
    return text(causal ? "causal " : "", heads, "/", kv_heads, " heads of ", head_dim, ", lengths", lengths,
                key_room > 0 ? " with room" : "", head_gap > 0 ? ", heads apart" : "", alibi ? ", alibi" : "",
                relative.buckets > 0 ? text(", ", relative.buckets, " buckets") : "",
                positions.empty() ? "" : ", scattered", window > 0 ? text(", window ", window) : "",
                score_cap > 0 ? ", capped" : "");
  }
  /// Begins and ends of queries, then of keys, then positions: index arrays of a case.
  std::vector<std::vector<Index>> indices() const {
    std::vector<std::vector<Index>> arrays(5);
    arrays[4] = positions;
    const auto place = [](const std::vector<Index>& lengths, Index room, std::vector<Index>& begins,
                          std::vector<Index>& ends) {
      for (Index begin = 0; const Index length : lengths) {
        begins.push_back(begin);
        ends.push_back(begin + length);
        begin += length + room;
      }
    };
    place(query_lengths, 0, arrays[0], arrays[1]);
    place(key_lengths, key_room, arrays[2], arrays[3]);
    return arrays;
  }
  /// `index(i)`: array i in the backend's memory.
  template <class IndexArray>
  AttentionShape shape(const IndexArray& index) const {
    const auto view = [](const Index* begins, const Index* ends, const std::vector<Index>& lengths) {
      const Extent longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
      return SequenceView{
          .begins = begins, .ends = ends, .count = static_cast<Extent>(lengths.size()), .max_length = longest};
    };
    return {.heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .head_stride = head_dim + head_gap,
            .scale = 1 / std::sqrt(static_cast<double>(head_dim)),
            .score_cap = score_cap,
            .causal = causal,
            .window = window,
            .alibi = alibi,
            .relative = relative,
            .queries = view(index(0), index(1), query_lengths),
            .keys = view(index(2), index(3), key_lengths),
            .positions = positions.empty() ? nullptr : index(4)};
  }
};

inline std::vector<Operand> attention_operands(const AttentionSizes& sizes) {
  const Extent q = sizes.query_rows(), k = sizes.key_rows(), wide = sizes.columns(sizes.heads),
               narrow = sizes.columns(sizes.kv_heads);
  return {{.name = "queries", .rows = q, .cols = wide, .gap = 3},
          {.name = "keys", .rows = k, .cols = narrow},
          {.name = "values", .rows = k, .cols = narrow, .gap = 1},
          {.name = "bias", .rows = sizes.relative.buckets, .cols = sizes.heads, .gap = 2},
          {.name = "output", .rows = q, .cols = sizes.heads * sizes.head_dim, .gap = 2},
          {.name = "stats", .rows = q, .cols = sizes.heads}};
}
template <class Data>
AttentionShape shape_in(const AttentionSizes& sizes, const Data& data) {
  return sizes.shape([&](std::size_t i) { return data.index(i); });
}
template <class Data>
auto bias_in(const AttentionSizes& sizes, const Data& data) {
  return sizes.relative.buckets > 0 ? data.in(3) : decltype(data.in(3)){};
}
struct RunAttentionForward {
  AttentionSizes sizes;
  void operator()(auto& b, auto& d) const {
    b.attention_forward(shape_in(sizes, d), d.in(0), d.in(1), d.in(2), bias_in(sizes, d), d.out(4), d.out(5));
  }
};

inline auto attention_forward_case(const AttentionSizes& sizes) {
  std::vector<Operand> operands = attention_operands(sizes);
  operands[4].written = operands[5].written = true;
  const Extent a_pair = 4 * sizes.head_dim + 4 + sizes.score_flops();
  return operator_case({.kernel = "attention_forward",
                        .shape = sizes.text_of(),
                        .flops = sizes.heads * (sizes.pairs() * a_pair + sizes.query_rows() * (sizes.head_dim + 3)),
                        .depth = sizes.head_dim,
                        .operands = std::move(operands),
                        .indices = sizes.indices()},
                       RunAttentionForward{sizes});
}

/// Which gradients are asked for.
struct Wanted {
  bool queries = false, keys = false, values = false, bias = false;
  bool through_scores() const { return queries || keys || bias; }
};
/// All combinations.
inline std::vector<Wanted> wanted_gradients(const AttentionSizes& sizes) {
  std::vector<Wanted> all;
  for (int bits = 0; bits < (sizes.relative.buckets > 0 ? 16 : 8); ++bits) {
    all.push_back(
        {.queries = (bits & 1) != 0, .keys = (bits & 2) != 0, .values = (bits & 4) != 0, .bias = (bits & 8) != 0});
  }
  return all;
}

inline auto attention_grad_case(const AttentionSizes& sizes, Wanted wanted) {
  std::vector<Operand> operands = attention_operands(sizes);
  const Extent d = sizes.head_dim, wide = sizes.columns(sizes.heads), narrow = sizes.columns(sizes.kv_heads);
  operands.push_back({.name = "grad_output", .rows = sizes.query_rows(), .cols = sizes.heads * d, .gap = 1});
  operands.push_back({.name = "grad_queries", .rows = sizes.query_rows(), .cols = wide, .written = wanted.queries});
  operands.push_back({.name = "grad_keys", .rows = sizes.key_rows(), .cols = narrow, .written = wanted.keys, .gap = 2});
  operands.push_back({.name = "grad_values", .rows = sizes.key_rows(), .cols = narrow, .written = wanted.values});
  operands.push_back(
      {.name = "grad_bias", .rows = sizes.relative.buckets, .cols = sizes.heads, .written = wanted.bias, .gap = 1});
  const Extent products = (wanted.queries ? 1 : 0) + (wanted.keys ? 1 : 0) + (wanted.values ? 1 : 0);
  Flops flops = 0;
  if (products > 0 || wanted.bias)
    flops += sizes.pairs() * (2 * d + 3 + sizes.score_flops() + products * 2 * d + (wanted.bias ? 1 : 0));
  if (wanted.through_scores()) flops += sizes.pairs() * (2 * d + 3 + sizes.cap_flops()) + sizes.query_rows() * 2 * d;
  return operator_case(
      {.kernel = "attention_grad",
       .shape = sizes.text_of() + (wanted.queries ? " queries" : "") + (wanted.keys ? " keys" : "") +
                (wanted.values ? " values" : "") + (wanted.bias ? " bias" : ""),
       .flops = flops * sizes.heads,
       .depth = std::max<Extent>(d, 64),
       .operands = std::move(operands),
       .indices = sizes.indices()},
      [=](auto& b, auto& data) {
        const auto none = [](bool is_wanted, auto matrix) { return is_wanted ? matrix : decltype(matrix){}; };
        b.attention_grad(shape_in(sizes, data), data.in(0), data.in(1), none(wanted.through_scores(), data.in(2)),
                         bias_in(sizes, data), none(wanted.through_scores(), data.in(4)), data.in(5), data.in(6),
                         none(wanted.queries, data.out(7)), none(wanted.keys, data.out(8)),
                         none(wanted.values, data.out(9)), none(wanted.bias, data.out(10)));
      },
      RunAttentionForward{sizes});
}

/// Of what an attention left: any output and any statistics are that of some scores.
inline std::vector<Operand> sink_operands(Extent rows, Extent heads, Extent head_dim) {
  return {{.name = "sinks", .cols = heads},
          {.name = "output", .rows = rows, .cols = heads * head_dim, .gap = 2},
          {.name = "stats", .rows = rows, .cols = heads, .gap = 1}};
}
inline std::string sink_text(Extent rows, Extent heads, Extent head_dim) {
  return text(rows, " rows of ", heads, " heads of ", head_dim);
}
struct RunSinkForward {
  void operator()(auto& b, auto& d) const { b.attention_sink_forward(d.in(0), d.out(1), d.out(2)); }
};
inline auto attention_sink_forward_case(Extent rows, Extent heads, Extent head_dim) {
  std::vector<Operand> operands = sink_operands(rows, heads, head_dim);
  operands[1].written = operands[2].written = true;
  return operator_case({.kernel = "attention_sink_forward",
                        .shape = sink_text(rows, heads, head_dim),
                        .flops = rows * heads * (head_dim + 8),
                        .operands = std::move(operands)},
                       RunSinkForward{});
}
inline auto attention_sink_grad_case(Extent rows, Extent heads, Extent head_dim) {
  std::vector<Operand> operands = sink_operands(rows, heads, head_dim);
  operands.push_back({.name = "grad_output", .rows = rows, .cols = heads * head_dim, .gap = 1});
  operands.push_back({.name = "grad_sinks", .cols = heads, .written = true});
  return operator_case(
      {.kernel = "attention_sink_grad",
       .shape = sink_text(rows, heads, head_dim),
       .flops = rows * heads * (2 * head_dim + 4),
       .depth = rows * head_dim,
       .operands = std::move(operands)},
      [](auto& b, auto& d) { b.attention_sink_grad(d.in(0), d.in(1), d.in(2), d.in(3), d.out(4)); }, RunSinkForward{});
}

/// `count` of the numbers below `all`, ascending, the last among them.
inline std::vector<Index> some_of(Index all, Index count, std::uint64_t seed) {
  CounterRandom random(seed, "positions");
  std::vector<Index> some;
  for (Index i = 0; i < all; ++i) {
    const auto left = static_cast<std::uint32_t>(all - i),
               wanted = static_cast<std::uint32_t>(count) - static_cast<std::uint32_t>(some.size());
    if (wanted > 0 && (i + 1 == all || (wanted > 1 && random.below(left - 1) < wanted - 1))) some.push_back(i);
  }
  return some;
}
inline std::vector<Index> joined(const std::vector<std::vector<Index>>& lists) {
  std::vector<Index> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

inline std::vector<AttentionSizes> attention_sizes() {
  const std::vector<Index> ragged = {40, 1, 0, 7, 33};
  const RelativeBias both_ways{.buckets = 8, .max_distance = 20, .bidirectional = true},
      backwards{.buckets = 6, .max_distance = 30, .bidirectional = false};
  return {{.heads = 1, .kv_heads = 1, .head_dim = 4, .causal = true, .query_lengths = {1}, .key_lengths = {1}},
          {.heads = 2, .kv_heads = 2, .head_dim = 8, .causal = true, .query_lengths = ragged, .key_lengths = ragged},
          {.heads = 6, .kv_heads = 2, .head_dim = 10, .causal = true, .query_lengths = ragged, .key_lengths = ragged},
          {.heads = 2, .kv_heads = 1, .head_dim = 64, .causal = true, .query_lengths = {70, 3}, .key_lengths = {70, 3}},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 5,
           .causal = false,
           .query_lengths = {3, 0, 5, 40},
           .key_lengths = {4, 6, 0, 35}},
          {.heads = 4, .kv_heads = 2, .head_dim = 8, .causal = true, .query_lengths = {9, 2}, .key_lengths = {4, 6}},
          {.heads = 1, .kv_heads = 1, .head_dim = 6, .causal = true, .query_lengths = {530}, .key_lengths = {530}},
          {.heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .query_lengths = {0}, .key_lengths = {0}},
          // A cache: rows that belong to no sequence, queries that come after the first keys.
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = {1, 5, 0, 37},
           .key_lengths = {9, 40, 3, 70},
           .key_room = 3},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 8,
           .causal = true,
           .query_lengths = ragged,
           .key_lengths = ragged,
           .head_gap = 16,
           .alibi = true},
          {.heads = 10,
           .kv_heads = 1,
           .head_dim = 20,
           .causal = true,
           .query_lengths = {1, 1, 1},
           .key_lengths = {90, 17, 0},
           .key_room = 2},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 16,
           .causal = true,
           .query_lengths = {1, 1},
           .key_lengths = {33, 70},
           .head_gap = 32,
           .alibi = true},
          {.heads = 6,
           .kv_heads = 6,
           .head_dim = 4,
           .causal = true,
           .query_lengths = {2, 40},
           .key_lengths = {50, 47},
           .key_room = 2,
           .alibi = true},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 5,
           .causal = false,
           .query_lengths = ragged,
           .key_lengths = ragged,
           .relative = both_ways},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = ragged,
           .key_lengths = ragged,
           .relative = backwards},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = false,
           .query_lengths = {3, 0, 36},
           .key_lengths = {70, 6, 5},
           .relative = both_ways},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = true,
           .query_lengths = {1, 35},
           .key_lengths = {60, 40},
           .key_room = 1,
           .relative = backwards},
          {.heads = 2,
           .kv_heads = 1,
           .head_dim = 4,
           .causal = true,
           .query_lengths = {9, 2},
           .key_lengths = {4, 6},
           .alibi = true,
           .relative = backwards},
          // Queries of some tokens: alone, side by side, apart, all, none of a sequence; more than a panel or tile has.
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = {1, 4, 0, 5, 3},
           .key_lengths = {40, 30, 9, 5, 70},
           .positions = {17, 3, 4, 5, 6, 0, 1, 2, 3, 4, 0, 44, 69}},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 8,
           .causal = true,
           .query_lengths = {40, 1},
           .key_lengths = {130, 1},
           .head_gap = 16,
           .alibi = true,
           .positions = joined({some_of(130, 40, 1), {0}})},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = true,
           .query_lengths = {45, 30, 2, 1},
           .key_lengths = {60, 33, 90, 8},
           .key_room = 2,
           .relative = backwards,
           .positions = joined({some_of(60, 45, 2), some_of(33, 30, 3), {80, 81}, {7}})},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 64,
           .causal = true,
           .query_lengths = {150},
           .key_lengths = {300},
           .positions = some_of(300, 150, 4)},
          {.heads = 2,
           .kv_heads = 1,
           .head_dim = 4,
           .causal = false,
           .query_lengths = {0, 3, 9},
           .key_lengths = {4, 20, 9},
           .relative = both_ways,
           .positions = {2, 3, 19, 0, 1, 2, 3, 4, 5, 6, 7, 8}},
          // Windows: shorter and longer than panels, tiles and sequences; from a cache; of queries
          // whose windows overlap, touch, and lie apart.
          {.heads = 2,
           .kv_heads = 1,
           .head_dim = 5,
           .causal = true,
           .query_lengths = {5, 1, 40},
           .key_lengths = {5, 1, 40},
           .window = 2},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = ragged,
           .key_lengths = ragged,
           .window = 4},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = true,
           .query_lengths = {70, 33, 150},
           .key_lengths = {70, 33, 150},
           .head_gap = 12,
           .alibi = true,
           .window = 33},
          {.heads = 1,
           .kv_heads = 1,
           .head_dim = 64,
           .causal = true,
           .query_lengths = {530},
           .key_lengths = {530},
           .window = 100},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = {1, 5, 0, 37},
           .key_lengths = {9, 40, 3, 70},
           .key_room = 3,
           .window = 7},
          {.heads = 6,
           .kv_heads = 2,
           .head_dim = 10,
           .causal = true,
           .query_lengths = {1, 1, 1},
           .key_lengths = {90, 17, 1},
           .key_room = 2,
           .window = 20},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = true,
           .query_lengths = {45, 30, 2, 1, 5},
           .key_lengths = {60, 33, 90, 8, 200},
           .relative = backwards,
           .positions = joined({some_of(60, 45, 2), some_of(33, 30, 3), {80, 81}, {7}, {3, 13, 24, 190, 199}}),
           .window = 10},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 32,
           .causal = true,
           .query_lengths = {30, 3},
           .key_lengths = {600, 300},
           .positions = joined({some_of(600, 30, 5), {4, 150, 299}}),
           .window = 5},
          // Capped scores: alone, with a window, and with what is added to them.
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 8,
           .causal = true,
           .query_lengths = ragged,
           .key_lengths = ragged,
           .score_cap = 0.5},
          {.heads = 2,
           .kv_heads = 2,
           .head_dim = 6,
           .causal = true,
           .query_lengths = {1, 70, 1},
           .key_lengths = {40, 70, 1},
           .key_room = 1,
           .window = 12,
           .score_cap = 2},
          {.heads = 3,
           .kv_heads = 3,
           .head_dim = 8,
           .causal = true,
           .query_lengths = {40, 1, 4},
           .key_lengths = {130, 1, 60},
           .alibi = true,
           .relative = backwards,
           .positions = joined({some_of(130, 40, 1), {0}, {2, 40, 41, 59}}),
           .window = 21,
           .score_cap = 1}};
}

template <class Visit>
void for_each_attention_case(Visit&& visit) {
  for (const AttentionSizes& sizes : attention_sizes()) {
    visit(attention_forward_case(sizes));
    for (const Wanted& wanted : wanted_gradients(sizes)) visit(attention_grad_case(sizes, wanted));
  }
  struct Shape {
    Extent rows, heads, head_dim;
  };
  for (const auto& [rows, heads, head_dim] :
       {Shape{1, 1, 1}, Shape{5, 3, 7}, Shape{0, 2, 4}, Shape{37, 4, 64}, Shape{300, 2, 33}}) {
    visit(attention_sink_forward_case(rows, heads, head_dim));
    visit(attention_sink_grad_case(rows, heads, head_dim));
  }
}

}  // namespace greentrainer::testing
