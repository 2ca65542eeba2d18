#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// The quantities of a batch that costs are linear in. "Decoder" is the only stream of a decoder-only model.
enum class Measure : std::size_t {
  steps,  ///< 1 for every forward and backward pass
  decoder_sequences,
  decoder_tokens,
  labelled_tokens,  ///< rows the output head runs on
  decoder_pairs,    ///< causal (query, key) pairs: sum of L (L + 1) / 2 over the sequences
  encoder_sequences,
  encoder_tokens,
  encoder_pairs,         ///< sum of squared source lengths
  cross_pairs,           ///< sum of target length x source length
  labelled_pairs,        ///< sum, over the labelled rows, of the keys that they see: their own and those before
  labelled_cross_pairs,  ///< sum of labelled rows x source length
  context_tokens,        ///< the decoder's rows that are not labelled
  context_pairs,         ///< sum, over these, of the keys that they see
  window_pairs,          ///< decoder_pairs of an attention with a window, MeasureVector::window
  labelled_window_pairs,
  context_window_pairs,
  count
};

inline constexpr std::size_t measure_count = static_cast<std::size_t>(Measure::count);

/// One number for each measure. As a workload: how much of it a batch has. As a cost: what one unit of it costs.
template <class Tag>
struct MeasureVector {
  std::array<std::int64_t, measure_count> values{};
  Extent window = 0;  ///< what pairs in a window are counted for: so many keys up to a token's own; 0: they are not

  std::int64_t& operator[](Measure m) { return values[static_cast<std::size_t>(m)]; }
  std::int64_t operator[](Measure m) const { return values[static_cast<std::size_t>(m)]; }

  MeasureVector& operator+=(const MeasureVector& other) {
    join_window(other.window);
    for (std::size_t i = 0; i < measure_count; ++i) values[i] += other.values[i];
    return *this;
  }
  MeasureVector& operator-=(const MeasureVector& other) {
    join_window(other.window);
    for (std::size_t i = 0; i < measure_count; ++i) values[i] -= other.values[i];
    return *this;
  }
  friend MeasureVector operator+(MeasureVector a, const MeasureVector& b) { return a += b; }
  friend MeasureVector operator-(MeasureVector a, const MeasureVector& b) { return a -= b; }
  friend MeasureVector operator*(MeasureVector a, std::int64_t factor) {
    for (auto& value : a.values) value *= factor;
    return a;
  }
  friend bool operator==(const MeasureVector&, const MeasureVector&) = default;

  /// Throws ConfigError unless both windows are one, or one of them is 0.
  void join_window(Extent other) {
    if (window != 0 && other != 0 && window != other)
      throw ConfigError("workload", "window", text("expected windows of one width, got ", window, " and ", other));
    window = std::max(window, other);
  }
};

using Workload = MeasureVector<struct WorkloadTag>;
using LinearCost = MeasureVector<struct LinearCostTag>;

/// `amount` of something for every unit of `measure`.
inline LinearCost per(Measure measure, std::int64_t amount) {
  LinearCost cost;
  cost[measure] = amount;
  return cost;
}

/// The cost of a workload at a linear cost: the sum of their products, measure by measure. Throws ConfigError where 63
/// bits do not hold it, and where the cost is one of pairs in a window that the workload was not counted for.
inline std::int64_t evaluate(const LinearCost& cost, const Workload& workload) {
  if (cost.window != workload.window && cost.window != 0 && workload[Measure::decoder_tokens] != 0) {
    throw ConfigError("evaluate", "workload",
                      text("expected pairs in a window of ", cost.window, ", the model's, got them for ",
                           workload.window, "; count it with TensorGraph::window()"));
  }
  CheckedInteger total = 0;
  for (std::size_t i = 0; i < measure_count; ++i) total += CheckedInteger(cost.values[i]) * workload.values[i];
  return total.value();
}

/// Pairs of the first `length` tokens of a sequence with the keys they see: those up to their own, in a window the last
/// so many of them.
constexpr Extent causal_pairs(Extent length, Extent window = 0) {
  const Extent growing = window > 0 ? std::min(length, window) : length;
  return growing * (growing + 1) / 2 + (length - growing) * growing;
}

/// Fills in the measures of the context: what the labelled rows leave of the decoder's.
inline void count_context(Workload& w) {
  w[Measure::context_tokens] = w[Measure::decoder_tokens] - w[Measure::labelled_tokens];
  w[Measure::context_pairs] = w[Measure::decoder_pairs] - w[Measure::labelled_pairs];
  w[Measure::context_window_pairs] = w[Measure::window_pairs] - w[Measure::labelled_window_pairs];
}

/// The workload of one batch: one step. `window`: that of the model's attention (TensorGraph::window), 0 for none.
inline Workload workload_of(const Batch& batch, Extent window = 0) {
  Workload w;
  w.window = window;
  w[Measure::steps] = 1;
  w[Measure::decoder_sequences] = batch.decoder.sequences();
  w[Measure::decoder_tokens] = batch.decoder.tokens();
  w[Measure::labelled_tokens] = batch.labelled();
  w[Measure::encoder_sequences] = batch.encoder.sequences();
  w[Measure::encoder_tokens] = batch.encoder.tokens();
  const auto& d = batch.decoder.offsets;
  const auto& e = batch.encoder.offsets;
  auto label_row = batch.label_rows.begin();
  for (std::size_t s = 0; s + 1 < d.size(); ++s) {
    const Extent length = d[s + 1] - d[s], source = s + 1 < e.size() ? e[s + 1] - e[s] : 0;
    w[Measure::decoder_pairs] += causal_pairs(length);
    if (window > 0) w[Measure::window_pairs] += causal_pairs(length, window);
    w[Measure::cross_pairs] += length * source;
    for (; label_row != batch.label_rows.end() && *label_row < d[s + 1]; ++label_row) {
      const Extent seen = *label_row - d[s] + 1;
      w[Measure::labelled_pairs] += seen;
      w[Measure::labelled_window_pairs] += std::min(seen, window);
      w[Measure::labelled_cross_pairs] += source;
    }
  }
  for (std::size_t s = 0; s + 1 < e.size(); ++s) {
    const Extent length = e[s + 1] - e[s];
    w[Measure::encoder_pairs] += length * length;
  }
  count_context(w);
  return w;
}

/// An upper bound: no batch of `count` of the examples has more of any measure than this workload.
inline Workload largest_batch_of(std::vector<Workload> examples, std::size_t count) {
  Workload largest;
  largest.window = examples.empty() ? 0 : examples.front().window;
  const auto end = examples.begin() + static_cast<std::ptrdiff_t>(std::min(count, examples.size()));
  for (std::size_t m = 0; m < measure_count; ++m) {
    const auto measure = static_cast<Measure>(m);
    std::partial_sort(examples.begin(), end, examples.end(),
                      [&](const Workload& a, const Workload& b) { return a[measure] > b[measure]; });
    for (auto one = examples.begin(); one != end; ++one) largest[measure] += (*one)[measure];
  }
  largest[Measure::steps] = 1;
  return largest;
}

/// The workload of a padded batch in which all sequences are equally long, and the last tokens of each are to be
/// predicted. In a decoder alone a token is predicted by the row before it, so that the last row is labelled only where
/// all are; in an encoder-decoder, by its own row.
inline Workload uniform_workload(Extent batch_size, Extent tokens, Extent labelled_tokens, Extent source_tokens = 0,
                                 Extent window = 0) {
  const Extent behind = source_tokens == 0 && labelled_tokens < tokens ? tokens - 1 : tokens;
  Workload w;
  w[Measure::steps] = 1;
  w[Measure::decoder_sequences] = batch_size;
  w[Measure::decoder_tokens] = batch_size * tokens;
  w[Measure::labelled_tokens] = batch_size * labelled_tokens;
  w[Measure::decoder_pairs] = batch_size * causal_pairs(tokens);
  w[Measure::labelled_pairs] = batch_size * (causal_pairs(behind) - causal_pairs(behind - labelled_tokens));
  w.window = window;
  if (window > 0) {
    w[Measure::window_pairs] = batch_size * causal_pairs(tokens, window);
    w[Measure::labelled_window_pairs] =
        batch_size * (causal_pairs(behind, window) - causal_pairs(behind - labelled_tokens, window));
  }
  count_context(w);
  if (source_tokens > 0) {
    w[Measure::encoder_sequences] = batch_size;
    w[Measure::encoder_tokens] = batch_size * source_tokens;
    w[Measure::encoder_pairs] = batch_size * source_tokens * source_tokens;
    w[Measure::cross_pairs] = batch_size * tokens * source_tokens;
    w[Measure::labelled_cross_pairs] = batch_size * labelled_tokens * source_tokens;
  }
  return w;
}

}  // namespace greentrainer
