#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::reference {

/// A number that counts where numbers count.
constexpr double number_like(double, double value) { return value; }

/// Calls visit(head, key-value head, query row, first key row, keys it sees) for every query and head.
template <class Visit>
void for_queries(const AttentionShape& shape, Visit visit) {
  for (Extent s = 0; s < shape.queries.count; ++s) {
    const Extent first_key = shape.keys.offsets[s], keys = shape.keys.offsets[s + 1] - first_key;
    for (Extent h = 0; h < shape.heads; ++h) {
      for (Extent q = shape.queries.offsets[s]; q < shape.queries.offsets[s + 1]; ++q) {
        const Extent seen = shape.causal ? std::min(keys, q - shape.queries.offsets[s] + 1) : keys;
        visit(h, h / (shape.heads / shape.kv_heads), q, first_key, seen);
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

template <class T>
void attention_forward(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys, Matrix<const T> values, Matrix<T> output,
                       Matrix<T> stats) {
  using std::exp, std::log;
  const Extent dim = shape.head_dim;
  for_queries(shape, [&](Extent h, Extent kv, Extent q, Extent first, Extent seen) {
    const T* query = queries.data + q * queries.stride + h * dim;
    T* out = output.data + q * output.stride + h * dim;
    std::fill_n(out, dim, T(0));
    std::vector<T> scores(static_cast<std::size_t>(seen));
    for (Extent j = 0; j < seen; ++j) {
      scores[static_cast<std::size_t>(j)] = dot(dim, query, keys.data + (first + j) * keys.stride + kv * dim) * T(shape.scale);
    }
    // Without keys, a sum of 1 leaves output and statistic zero.
    const T max = seen == 0 ? number_like(*query, 0) : *std::max_element(scores.begin(), scores.end());
    T sum = number_like(*query, seen == 0 ? 1 : 0);
    for (Extent j = 0; j < seen; ++j) {
      const T e = exp(scores[static_cast<std::size_t>(j)] - max);
      sum += e;
      for (Extent d = 0; d < dim; ++d) out[d] += e * values.data[(first + j) * values.stride + kv * dim + d];
    }
    const T inverse = T(1) / sum;
    for (Extent d = 0; d < dim; ++d) out[d] *= inverse;
    stats.data[q * stats.stride + h] = max + log(sum);
  });
}

template <class T>
void attention_grad(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys, Matrix<const T> values, Matrix<const T> output,
                    Matrix<const T> stats, Matrix<const T> grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys, Matrix<T> grad_values) {
  using std::exp;
  const Extent dim = shape.head_dim;
  for (const Matrix<T>& gradient : {grad_queries, grad_keys, grad_values}) {
    for (Extent r = 0; gradient && r < gradient.rows; ++r) std::fill_n(gradient.data + r * gradient.stride, gradient.cols, T(0));
  }
  if (!grad_queries && !grad_keys && !grad_values) return;
  for_queries(shape, [&](Extent h, Extent kv, Extent q, Extent first, Extent seen) {
    const T* query = queries.data + q * queries.stride + h * dim;
    const T* dy = grad_output.data + q * grad_output.stride + h * dim;
    const bool needs_scores = grad_queries || grad_keys;
    const T along = needs_scores ? dot(dim, dy, output.data + q * output.stride + h * dim) : T(0);
    for (Extent j = first; j < first + seen; ++j) {
      const T* key = keys.data + j * keys.stride + kv * dim;
      const T probability = exp(dot(dim, query, key) * T(shape.scale) - stats.data[q * stats.stride + h]);
      for (Extent d = 0; grad_values && d < dim; ++d) grad_values.data[j * grad_values.stride + kv * dim + d] += probability * dy[d];
      if (!needs_scores) continue;
      const T slope = probability * (dot(dim, dy, values.data + j * values.stride + kv * dim) - along) * T(shape.scale);
      for (Extent d = 0; grad_queries && d < dim; ++d) grad_queries.data[q * grad_queries.stride + h * dim + d] += slope * key[d];
      for (Extent d = 0; grad_keys && d < dim; ++d) grad_keys.data[j * grad_keys.stride + kv * dim + d] += slope * query[d];
    }
  });
}

}  // namespace greentrainer::reference
