#pragma once

#include <compare>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/position_bias.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Sequences as a kernel sees them: sequence s holds the rows [begins[s], ends[s]). Rows in between belong to none:
/// room of a key-value cache.
struct SequenceView {
  const Index* begins = nullptr;  ///< `count` entries each, in the backend's memory
  const Index* ends = nullptr;
  Extent count = 0;
  Extent max_length = 0;  ///< at least that of the longest sequence, known to the host

  /// Sequences laid end to end: `offsets` has count + 1 entries.
  static constexpr SequenceView packed(const Index* offsets, Extent count, Extent max_length) {
    return {offsets, offsets + 1, count, max_length};
  }
};

/// Shape of an attention. Sequence s of the queries attends to sequence s of the keys: all of it, or if `causal` up to
/// the query's own position. Without `positions` queries follow each other; where there are more keys than queries,
/// causal ones end together: the first keys are those of a cache. Queries (query rows, ...), keys and values (key rows,
/// ...) have head h in head_dim columns from h * head_stride on; the output is dense, (query rows, heads * head_dim).
/// Query head h reads key and value head h / (heads / kv_heads). The key at position j of its sequence scores scale *
/// (query . key) + alibi_slope(heads, h) * j + bias[relative_bucket(j - the query's position)][h]; the last two terms
/// only if asked for. Where there is a cap, the first is cap * tanh(that / cap).
struct AttentionShape {
  Extent heads = 0;
  Extent kv_heads = 0;
  Extent head_dim = 0;
  Extent head_stride = 0;  ///< of queries, keys, values and their gradients; 0: head_dim
  double scale = 1;        ///< on the scores, before biases and softmax
  double score_cap = 0;    ///< what scaled scores are limited to, smoothly; 0: nothing
  bool causal = true;
  /// The window: a query sees at most this many keys, of which its own is the last. 0: all keys up to its own. Only if
  /// causal.
  Extent window = 0;
  bool alibi = false;
  RelativeBias relative = {};  ///< its table, (buckets, heads), is an argument beside the shape
  SequenceView queries = {};
  SequenceView keys = {};
  /// (query rows), in the backend's memory: where each query stands among its sequence's keys, ascending within a
  /// sequence. For queries that are some of a sequence's tokens. Null: they follow each other.
  const Index* positions = nullptr;

  constexpr Extent columns_a_head() const { return head_stride > 0 ? head_stride : head_dim; }
  /// Position of a sequence's first query among its keys, where queries follow each other.
  constexpr Extent first_position(Extent query_count, Extent key_count) const {
    return causal && key_count > query_count ? key_count - query_count : 0;
  }
  /// The first key that a query at this position sees.
  constexpr Extent first_key_seen(Extent position) const {
    return window > 0 && position >= window ? position + 1 - window : 0;
  }
  /// Where the keys that a query at this position sees end.
  constexpr Extent keys_seen(Extent position, Extent key_count) const {
    return causal && position + 1 < key_count ? position + 1 : key_count;
  }
};

/// The queries of one sequence by number, from 0, and where they stand among its keys.
struct QueryPositions {
  Extent first = 0;                  ///< of query 0, where they follow each other
  const Index* scattered = nullptr;  ///< of each query, or null

  /// `first_row`: of query 0. Reads nothing of the backend's memory.
  static constexpr QueryPositions of(const AttentionShape& shape, Extent first_row, Extent query_count,
                                     Extent key_count) {
    return {shape.first_position(query_count, key_count),
            shape.positions == nullptr ? nullptr : shape.positions + first_row};
  }

  constexpr Extent operator[](Extent query) const { return scattered == nullptr ? first + query : scattered[query]; }
  /// Whether `count` queries from this one on, at least one, stand side by side.
  constexpr bool follow_each_other(Extent query, Extent count) const {
    return scattered == nullptr || scattered[query + count - 1] - scattered[query] == count - 1;
  }
};

/// Element-wise functions between two linear layers. `gelu` is the exact one (erf), `gelu_tanh` its tanh approximation.
enum class Activation { relu, gelu, gelu_tanh, silu, tanh, relu_squared, sigmoid };

constexpr std::string_view name_of(Activation kind) {
  switch (kind) {
    case Activation::relu: return "relu";
    case Activation::gelu: return "gelu";
    case Activation::gelu_tanh: return "gelu_tanh";
    case Activation::silu: return "silu";
    case Activation::tanh: return "tanh";
    case Activation::relu_squared: return "relu_squared";
    case Activation::sigmoid: return "sigmoid";
  }
  return "?";
}

/// How rows are routed to experts: those with the `top_k` largest logits (of equal ones the first) have weights, which
/// are the softmax of the logits over all experts or, normalised, over these alone.
struct RoutingShape {
  Extent top_k = 1;
  bool normalised = false;
};

/// gpt-oss' gate: of a pair (g, u), with g limited from above and u from both sides, (u + 1) * g * sigmoid(slope * g).
struct ClampedGate {
  double slope = 1.702;
  double limit = 7;

  friend auto operator<=>(const ClampedGate&, const ClampedGate&) = default;
};

/// Which elements of a matrix a dropout drops: element (r, c), number r * columns + c whatever the stride, if the 32
/// bits of that number in the stream are below `threshold`. Nothing is kept from forward to backward: both ask again.
struct DropoutMask {
  RandomStream stream = {};
  double probability = 0;  ///< of dropping, at least 0 and below 1; 0 drops nothing and draws nothing

  constexpr std::uint32_t threshold() const { return static_cast<std::uint32_t>(probability * 0x1p32); }
  /// Factor of the surviving elements, 1 / (1 - rate): it preserves the expectation.
  constexpr double scale() const { return 1 / (1 - probability); }
  constexpr bool drops(Extent element) const {
    if (probability == 0) return false;
    const auto number = static_cast<std::uint64_t>(element);
    return stream.block(number / 4)[number % 4] < threshold();
  }
};

/// Direction of a rotary embedding; its gradient rotates back.
enum class Rotation : bool { forward = false, backward = true };

/// How rotary frequencies are stretched for longer contexts than a model was first trained on, with transformers' names
/// for the kinds and their numbers.
struct RotaryScaling {
  enum class Kind { none, linear, llama3, yarn, longrope };

  Kind kind = Kind::none;
  double factor = 1;
  double original_positions = 0;
  double low_frequency_factor = 1;   ///< llama3
  double high_frequency_factor = 4;  ///< llama3
  double beta_fast = 32;             ///< yarn
  double beta_slow = 1;              ///< yarn
  bool truncate = true;              ///< yarn: whole pairs at the borders
  std::vector<double> factors = {};  ///< longrope: how many times longer the wave of each pair is
  /// longrope: the same in sequences of more than `original_positions` tokens; see rotary_of_length
  std::vector<double> factors_beyond = {};

  friend auto operator<=>(const RotaryScaling&, const RotaryScaling&) = default;
};

/// A rotary embedding: in each head of head_dim columns, pairs among the first `columns()` turn by position * frequency
/// (rotary_frequencies), and grow by `amplitude`; the others stay.
struct RotaryShape {
  Extent head_dim = 0;
  Extent rotated = 0;        ///< columns of a head that turn, an even number; 0: all
  bool interleaved = false;  ///< pairs are (2i, 2i + 1), else (i, i + columns() / 2)
  double theta = 10000;
  double amplitude = 1;
  RotaryScaling scaling = {};

  constexpr Extent columns() const { return rotated > 0 ? rotated : head_dim; }
  constexpr Extent pairs() const { return columns() / 2; }
  /// Of a pair, in its head.
  constexpr Extent first_column(Extent pair) const { return interleaved ? 2 * pair : pair; }
  constexpr Extent second_column(Extent pair) const { return interleaved ? 2 * pair + 1 : pair + pairs(); }

  friend auto operator<=>(const RotaryShape&, const RotaryShape&) = default;
};

}  // namespace greentrainer
