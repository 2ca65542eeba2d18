#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::reference {

/// A number that counts where numbers count.
constexpr double number_like(double, double value) { return value; }

/// One query of one head and the keys it sees.
struct QueryOfHead {
  Extent head = 0;
  Extent kv_head = 0;
  Extent row = 0;        ///< of the query
  Extent position = 0;   ///< of the query in its sequence
  Extent first_key = 0;  ///< row of the key at position 0
  Extent begin = 0;      ///< keys seen: those at the positions [begin, end)
  Extent end = 0;
};

/// Calls visit(QueryOfHead) for every query and head.
template <class Visit>
void for_queries(const AttentionShape& shape, Visit visit) {
  for (Extent s = 0; s < shape.queries.count; ++s) {
    const Extent first = shape.queries.begins[s], queries = shape.queries.ends[s] - first;
    const Extent first_key = shape.keys.begins[s], keys = shape.keys.ends[s] - first_key;
    const auto positions = QueryPositions::of(shape, first, queries, keys);
    for (Extent h = 0; h < shape.heads; ++h) {
      for (Extent q = 0; q < queries; ++q) {
        visit(QueryOfHead{.head = h,
                          .kv_head = h / (shape.heads / shape.kv_heads),
                          .row = first + q,
                          .position = positions[q],
                          .first_key = first_key,
                          .begin = shape.first_key_seen(positions[q]),
                          .end = shape.keys_seen(positions[q], keys)});
      }
    }
  }
}

template <class T>
T dot(Extent n, const T* a, const T* b) {
  T sum = T(0);
  for (Extent i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// Where head h of a row starts.
template <class T>
T* head_of(const AttentionShape& shape, Matrix<T> m, Extent row, Extent head) {
  return m.data + row * m.stride + head * shape.columns_a_head();
}

/// Row of the bias table for a query and the key at `position`.
inline Extent bucket_of(const AttentionShape& shape, const QueryOfHead& query, Extent position) {
  return relative_bucket(shape.relative, position - query.position);
}

/// The scaled score of a query and a key; where there is a cap, the share of it that is reached.
template <class T>
T scaled_score(const AttentionShape& shape, const T* q, const T* key) {
  using std::tanh;
  const T s = dot(shape.head_dim, q, key) * T(shape.scale);
  return shape.score_cap > 0 ? tanh(s / T(shape.score_cap)) : s;
}

/// The capped and biased score of a query and the key at `position`, from the scaled one.
template <class T>
T score(const AttentionShape& shape, const QueryOfHead& query, Extent position, T scaled, Matrix<const T> bias) {
  T s = shape.score_cap > 0 ? T(shape.score_cap) * scaled : scaled;
  if (shape.alibi) s += number_like(s, alibi_slope(shape.heads, query.head)) * T(static_cast<double>(position));
  if (shape.relative.buckets > 0) s += bias.data[bucket_of(shape, query, position) * bias.stride + query.head];
  return s;
}

template <class T>
void attention_forward(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                       Matrix<const T> values, Matrix<const T> bias, Matrix<T> output, Matrix<T> stats) {
  using std::exp, std::log;
  const Extent dim = shape.head_dim;
  for_queries(shape, [&](const QueryOfHead& query) {
    const T* q = head_of(shape, queries, query.row, query.head);
    T* out = output.data + query.row * output.stride + query.head * dim;
    std::fill_n(out, dim, T(0));
    std::vector<T> scores;
    for (Extent j = query.begin; j < query.end; ++j) {
      const T scaled = scaled_score(shape, q, head_of(shape, keys, query.first_key + j, query.kv_head));
      scores.push_back(score(shape, query, j, scaled, bias));
    }
    // Without keys, a sum of 1 leaves output and statistic zero.
    const T max = scores.empty() ? number_like(*q, 0) : *std::max_element(scores.begin(), scores.end());
    T sum = number_like(*q, scores.empty() ? 1 : 0);
    for (Extent j = query.begin; j < query.end; ++j) {
      const T e = exp(scores[static_cast<std::size_t>(j - query.begin)] - max);
      sum += e;
      const T* value = head_of(shape, values, query.first_key + j, query.kv_head);
      for (Extent d = 0; d < dim; ++d) out[d] += e * value[d];
    }
    const T inverse = T(1) / sum;
    for (Extent d = 0; d < dim; ++d) out[d] *= inverse;
    stats.data[query.row * stats.stride + query.head] = max + log(sum);
  });
}

/// Zeroes what a gradient of queries, or of keys or values, is written to.
template <class T>
void clear(const AttentionShape& shape, const SequenceView& sequences, Extent heads, Matrix<T> gradient) {
  if (!gradient) return;
  for (Extent s = 0; s < sequences.count; ++s) {
    for (Extent r = sequences.begins[s]; r < sequences.ends[s]; ++r) {
      for (Extent h = 0; h < heads; ++h) std::fill_n(head_of(shape, gradient, r, h), shape.head_dim, T(0));
    }
  }
}

template <class T>
void attention_grad(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys, Matrix<const T> values,
                    Matrix<const T> bias, Matrix<const T> output, Matrix<const T> stats, Matrix<const T> grad_output,
                    Matrix<T> grad_queries, Matrix<T> grad_keys, Matrix<T> grad_values, Matrix<T> grad_bias) {
  using std::exp;
  const Extent dim = shape.head_dim;
  clear(shape, shape.queries, shape.heads, grad_queries);
  clear(shape, shape.keys, shape.kv_heads, grad_keys);
  clear(shape, shape.keys, shape.kv_heads, grad_values);
  const bool needs_scores = grad_queries || grad_keys || grad_bias;
  if (!needs_scores && !grad_values) return;
  for_queries(shape, [&](const QueryOfHead& query) {
    const T* q = head_of(shape, queries, query.row, query.head);
    const T* dy = grad_output.data + query.row * grad_output.stride + query.head * dim;
    const T along = needs_scores ? dot(dim, dy, output.data + query.row * output.stride + query.head * dim) : T(0);
    const T log_sum = stats.data[query.row * stats.stride + query.head];
    for (Extent j = query.begin; j < query.end; ++j) {
      const Extent row = query.first_key + j;
      const T* key = head_of(shape, keys, row, query.kv_head);
      const T scaled = scaled_score(shape, q, key);
      const T probability = exp(score(shape, query, j, scaled, bias) - log_sum);
      const auto add_to = [&](Matrix<T> gradient, Extent to, Extent head, T factor, const T* x) {
        T* sum = head_of(shape, gradient, to, head);
        for (Extent d = 0; d < dim; ++d) sum[d] += factor * x[d];
      };
      if (grad_values) add_to(grad_values, row, query.kv_head, probability, dy);
      if (!needs_scores) continue;
      const T grad_score = probability * (dot(dim, dy, head_of(shape, values, row, query.kv_head)) - along);
      if (grad_bias) grad_bias.data[bucket_of(shape, query, j) * grad_bias.stride + query.head] += grad_score;
      const T capped = shape.score_cap > 0 ? grad_score * (T(1) - scaled * scaled) : grad_score;
      const T slope = capped * T(shape.scale);
      if (grad_queries) add_to(grad_queries, query.row, query.head, slope, key);
      if (grad_keys) add_to(grad_keys, row, query.kv_head, slope, q);
    }
  });
}

/// Of every row and head: the softmax has one more logit, so its sum of exponentials grows.
template <class T>
void attention_sink_forward(Matrix<const T> sinks, Matrix<T> output, Matrix<T> stats) {
  using std::exp, std::log;
  const Extent heads = stats.cols, dim = heads == 0 ? 0 : output.cols / heads;
  for (Extent r = 0; r < stats.rows; ++r) {
    for (Extent h = 0; h < heads; ++h) {
      T& log_sum = stats.data[r * stats.stride + h];
      const T sink = sinks.data[h], max = sink > log_sum ? sink : log_sum, before = exp(log_sum - max);
      const T sum = before + exp(sink - max), kept = before / sum;
      T* out = output.data + r * output.stride + h * dim;
      for (Extent d = 0; d < dim; ++d) out[d] *= kept;
      log_sum = max + log(sum);
    }
  }
}

/// A row's sink takes its share of the probability from all keys: its gradient is -share * sum(probability * gradient
/// of the probability), and that sum is output . grad_output.
template <class T>
void attention_sink_grad(Matrix<const T> sinks, Matrix<const T> output, Matrix<const T> stats,
                         Matrix<const T> grad_output, Matrix<T> grad_sinks) {
  using std::exp;
  const Extent heads = stats.cols, dim = heads == 0 ? 0 : output.cols / heads;
  for (Extent r = 0; r < stats.rows; ++r) {
    for (Extent h = 0; h < heads; ++h) {
      const T share = exp(sinks.data[h] - stats.data[r * stats.stride + h]);
      grad_sinks.data[h] -= share * dot(dim, grad_output.data + r * grad_output.stride + h * dim,
                                        output.data + r * output.stride + h * dim);
    }
  }
}

}  // namespace greentrainer::reference
