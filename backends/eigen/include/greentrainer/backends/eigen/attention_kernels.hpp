#pragma once

#include "greentrainer/backends/eigen/operands.hpp"
#include "greentrainer/backends/eigen/score_bias.hpp"
#include "greentrainer/backends/eigen/thin_product.hpp"

namespace greentrainer::eigen {

/// Softmax attention within sequences; no (tokens x tokens) matrix. What a panel computes above the diagonal, or at the
/// edge of a window, is not counted as FLOPs.
template <class T>
class AttentionKernels {
 public:
  explicit AttentionKernels(Workers& workers) : workers_(workers) {}

  /// A task is a sequence, a key-value head and up to `queries_a_task` queries of all query heads that read it.
  void attention_forward(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                         Matrix<const T> values, Matrix<const T> bias, Matrix<T> output, Matrix<T> stats) {
    const Extent max_keys = round_up(std::max<Extent>(1, shape.keys.max_length), Tile<T>::rows);
    const Extent packed_dim = round_up(shape.head_dim, Tile<T>::rows);
    const Extent group = shape.heads / shape.kv_heads;
    const Extent room = max_keys * std::max(shape.head_dim + packed_dim + panel_width, group) +
                        (shape.head_dim + packed_dim) * panel_width;
    workers_.template reserve_each<T>(room);
    const Distances distances(shape, panel_width);
    const ScoreBias<T> score_bias(shape, distances, bias, workers_.template shared<T>(shape.heads * distances.size()));
    const Extent blocks = ceil_div(std::max<Extent>(1, shape.queries.max_length), queries_a_task);
    workers_.parallel_for(shape.queries.count * shape.kv_heads * blocks, [&, max_keys, packed_dim, group](Extent task,
                                                                                                          int worker) {
      const Extent s = task / (shape.kv_heads * blocks), kv_head = task / blocks % shape.kv_heads;
      const HeadRows q = rows_of(shape.queries, s), k = rows_of(shape.keys, s);
      const Extent begin = task % blocks * queries_a_task, end = std::min(q.count, begin + queries_a_task);
      if (begin >= end) return;
      const auto positions = QueryPositions::of(shape, q.first, q.count, k.count);
      const Extent base = shape.first_key_seen(positions[begin]),
                   visible = shape.keys_seen(positions[end - 1], k.count) - base;
      if (q.count == 1) {
        const Matrix<T> scores{workers_.template scratch<T>(worker), group, visible, max_keys};
        return attend_once(shape, q.first, positions[0], {k.first + base, visible}, kv_head, queries, keys, values,
                           score_bias, scores, output, stats);
      }
      const Extent dim = shape.head_dim, head_step = shape.columns_a_head();
      T* packed_keys = workers_.template scratch<T>(worker);  // left operand (keys, dim)
      T* packed_values = packed_keys + max_keys * dim;        // left operand (dim, keys)
      T* scores = packed_values + packed_dim * max_keys;      // panel (keys, queries)
      T* packed_queries = scores + max_keys * panel_width;    // right operand (dim, queries)
      T* result = packed_queries + dim * panel_width;         // panel (dim, queries)
      pack_left(at(keys, k.first + base, kv_head * head_step), keys.stride, 1, visible, dim, packed_keys);
      pack_left(at(values, k.first + base, kv_head * head_step), 1, values.stride, dim, visible, packed_values);
      for (Extent head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        for (Extent first = begin, count = 0; first < end; first += count) {
          const QueryPanel<T> panel(shape, first, end, q, k, base);
          const Extent row = q.first + first, skipped = panel.begin - base;
          count = panel.count;
          pack_right(at(queries, row, head * head_step), queries.stride, 1, panel.count, dim, packed_queries);
          multiply_panel<T, Left::packed>(panel.keys, panel_width, dim, packed_keys + skipped * dim,
                                          Tile<T>::rows * dim, packed_queries, scores, panel_width, Write::overwrite);
          A log_sum;
          const T scale = bias_scores(panel, scores, static_cast<T>(shape.scale), score_bias(head));
          const A inverse = softmax_numerators(panel, scores, scale, log_sum);
          // The panels of packed_values are `visible` deep; the product uses the panel's keys of it.
          multiply_panel<T, Left::packed>(dim, panel_width, panel.keys, packed_values + skipped * Tile<T>::rows,
                                          Tile<T>::rows * visible, scores, result, panel_width, Write::overwrite);
          for (Extent d = 0; d < dim; ++d) row_of(result, d) *= inverse;
          store_transposed(result, dim, panel.count, output.data + row * output.stride + head * dim, output.stride);
          for (Extent i = 0; i < panel.count; ++i) stats.data[(row + i) * stats.stride + head] = log_sum[i];
        }
      }
    });
  }

  /// A task is a sequence and a key-value head: gradients of keys and values add up over queries and the group's heads
  /// in one order.
  void attention_grad(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                      Matrix<const T> values, Matrix<const T> bias, Matrix<const T> output, Matrix<const T> stats,
                      Matrix<const T> grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys, Matrix<T> grad_values,
                      Matrix<T> grad_bias) {
    const bool needs_scores = grad_queries || grad_keys || grad_bias;
    if (!needs_scores && !grad_values) return;
    const Extent max_keys = round_up(std::max<Extent>(1, shape.keys.max_length), Tile<T>::rows);
    const Extent packed_dim = round_up(shape.head_dim, Tile<T>::rows), wide_dim = round_up(shape.head_dim, panel_width);
    const Extent dim = shape.head_dim, head_step = shape.columns_a_head();
    const Distances distances(shape, panel_width);
    const Extent buckets = shape.relative.buckets, table_size = shape.heads * distances.size();
    T* table = workers_.template shared<T>(table_size + shape.queries.count * shape.heads * buckets);
    T* bucket_sums = table + table_size;  // (sequences, heads, buckets)
    const ScoreBias<T> score_bias(shape, distances, bias, table);
    const Extent panels = shape.score_cap > 0 ? 3 : 2;
    workers_.template reserve_each<T>(max_keys * (2 * dim + packed_dim + panels * panel_width) +
                                      panel_width * (3 * dim + 2 * wide_dim) + distances.size());
    workers_.parallel_for(shape.queries.count * shape.kv_heads, [&, max_keys, packed_dim, wide_dim, dim, head_step](
                                                                    Extent task, int worker) {
      const Extent s = task / shape.kv_heads, kv_head = task % shape.kv_heads;
      const HeadRows q = rows_of(shape.queries, s), k = rows_of(shape.keys, s);
      T* packed_keys = workers_.template scratch<T>(worker);            // left operand (keys, dim)
      T* packed_values = packed_keys + max_keys * dim;                  // left operand (keys, dim)
      T* packed_keys_by_dim = packed_values + max_keys * dim;           // left operand (dim, keys)
      T* probabilities = packed_keys_by_dim + packed_dim * max_keys;    // panel (keys, queries)
      T* grad_scores = probabilities + max_keys * panel_width;          // panel (keys, queries)
      T* queries_by_dim = grad_scores + max_keys * panel_width;         // right operand (dim, queries)
      T* grad_output_by_dim = queries_by_dim + dim * panel_width;       // right operand (dim, queries)
      T* result = grad_output_by_dim + dim * panel_width;               // panel (dim, queries)
      T* queries_by_row = result + dim * panel_width;                   // right operand (queries, dim)
      T* grad_output_by_row = queries_by_row + panel_width * wide_dim;  // right operand (queries, dim)
      T* distance_sums = grad_output_by_row + panel_width * wide_dim;   // of the scores' gradients, by distance
      // Slopes of the cap, a panel (keys, queries), where there is one.
      T* cap_slopes = shape.score_cap > 0 ? distance_sums + distances.size() : nullptr;

      const T* key = at(keys, k.first, kv_head * head_step);
      pack_left(key, keys.stride, 1, k.count, dim, packed_keys);
      if (grad_queries) pack_left(key, 1, keys.stride, dim, k.count, packed_keys_by_dim);
      if (needs_scores)
        pack_left(at(values, k.first, kv_head * head_step), values.stride, 1, k.count, dim, packed_values);
      T* grad_key = grad_keys ? clear(grad_keys, k, kv_head * head_step, dim) : nullptr;
      T* grad_value = grad_values ? clear(grad_values, k, kv_head * head_step, dim) : nullptr;

      const Extent group = shape.heads / shape.kv_heads;
      for (Extent head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const HeadBias<T> head_bias = score_bias(head);
        if (grad_bias) std::fill_n(distance_sums, distances.size(), T(0));
        for (Extent first = 0, count = 0; first < q.count; first += count) {
          const QueryPanel<T> panel(shape, first, q.count, q, k);
          const Extent row = q.first + first;
          count = panel.count;
          const T* query = at(queries, row, head * head_step);
          const T* dy = at(grad_output, row, head * dim);

          pack_right(query, queries.stride, 1, panel.count, dim, queries_by_dim);
          multiply_panel<T, Left::packed>(panel.keys, panel_width, dim, packed_keys + panel.begin * dim,
                                          Tile<T>::rows * dim, queries_by_dim, probabilities, panel_width,
                                          Write::overwrite);
          const T scale = static_cast<T>(shape.scale);
          recompute_probabilities(panel, probabilities, bias_scores(panel, probabilities, scale, head_bias, cap_slopes),
                                  stats, row, head);
          if (grad_values) {
            pack_right(dy, 1, grad_output.stride, dim, panel.count, grad_output_by_row);
            add_product(panel, probabilities, grad_output_by_row, dim, grad_value + panel.begin * grad_values.stride,
                        grad_values.stride);
          }
          if (!needs_scores) continue;

          pack_right(dy, grad_output.stride, 1, panel.count, dim, grad_output_by_dim);
          multiply_panel<T, Left::packed>(panel.keys, panel_width, dim, packed_values + panel.begin * dim,
                                          Tile<T>::rows * dim, grad_output_by_dim, grad_scores, panel_width,
                                          Write::overwrite);
          const A along = row_dots(panel, dy, grad_output.stride, at(output, row, head * dim), output.stride, dim);
          for (Extent j = 0; j < panel.keys; ++j) {
            const A slope = row_of(probabilities, j) * (row_of(grad_scores, j) - along);
            if (grad_bias) head_bias.add_by_distance(panel, j, slope, distance_sums);
            row_of(grad_scores, j) =
                cap_slopes == nullptr ? A(slope * scale) : A(slope * scale * row_of(cap_slopes, j));
          }
          if (grad_keys) {
            pack_right(query, 1, queries.stride, dim, panel.count, queries_by_row);
            add_product(panel, grad_scores, queries_by_row, dim, grad_key + panel.begin * grad_keys.stride,
                        grad_keys.stride);
          }
          if (grad_queries) {
            multiply_panel<T, Left::packed>(dim, panel_width, panel.keys,
                                            packed_keys_by_dim + panel.begin * Tile<T>::rows, Tile<T>::rows * k.count,
                                            grad_scores, result, panel_width, Write::overwrite);
            store_transposed(result, dim, panel.count, grad_queries.data + row * grad_queries.stride + head * head_step,
                             grad_queries.stride);
          }
        }
        if (grad_bias)
          add_up_buckets(distances, distance_sums, buckets, bucket_sums + (s * shape.heads + head) * buckets);
      }
    });
    if (grad_bias) add_up_sequences(shape, bucket_sums, grad_bias);
  }

 private:
  using A = Across<T>;
  static constexpr Extent panel_width = queries_a_panel<T>;
  /// Enough to make packing the keys and values cheap against using them.
  static constexpr Extent queries_a_task = 16 * panel_width;

  static const T* at(Matrix<const T> m, Extent row, Extent col) { return m.data + row * m.stride + col; }

  static T* clear(Matrix<T> m, HeadRows rows, Extent col, Extent cols) {
    T* first = m.data + rows.first * m.stride + col;
    for (Extent r = 0; r < rows.count; ++r) std::fill_n(first + r * m.stride, cols, T(0));
    return first;
  }

  /// A sequence's only query, at this position, for the heads that read a key-value head: keys and values, `seen` by it
  /// up to its own, are read once, as they lie. `scores` (heads, keys) is scratch.
  static void attend_once(const AttentionShape& shape, Extent row, Extent position, HeadRows seen, Extent kv_head,
                          Matrix<const T> queries, Matrix<const T> keys, Matrix<const T> values,
                          const ScoreBias<T>& score_bias, Matrix<T> scores, Matrix<T> output, Matrix<T> stats) {
    const Extent dim = shape.head_dim, head_step = shape.columns_a_head(), first_head = kv_head * scores.rows,
                 visible = seen.count, first_key = shape.first_key_seen(position);
    const Matrix<const T> query{at(queries, row, first_head * head_step), scores.rows, dim, head_step};
    const DenseOperand<T> key{{at(keys, seen.first, kv_head * head_step), keys.stride, 1}};
    const Matrix<const T> value{at(values, seen.first, kv_head * head_step), visible, dim, values.stride};
    multiply_thin<T>(query, key, std::max<Extent>(1, dim), 0, visible, scores, Write::overwrite, nullptr);
    for (Extent h = 0; h < scores.rows; ++h) {
      T* line = scores.data + h * scores.stride;
      T scale = static_cast<T>(shape.scale), log_sum = 0;
      const HeadBias<T> bias = score_bias(first_head + h);
      if (bias.any()) {
        bias.apply(position, first_key, first_key + visible, line, scale);
        scale = 1;
      }
      if (visible > 0) {
        const T max = max_of(visible, line);
        map_lanes(
            visible, line, [&](const Lanes<T>& x) -> Lanes<T> { return ((x - max) * scale).exp(); }, line);
        const double sum = sum_lanes<T, 1>(
            visible, T(0), [](const Lanes<T>& x) { return std::array<Lanes<T>, 1>{x}; }, line)[0];
        map_lanes(
            visible, line, [&](const Lanes<T>& x) -> Lanes<T> { return x * static_cast<T>(1 / sum); }, line);
        log_sum = max * scale + static_cast<T>(std::log(sum));
      }
      stats.data[row * stats.stride + first_head + h] = log_sum;
    }
    multiply_thin(Matrix<const T>(scores), value,
                  Matrix<T>{output.data + row * output.stride + first_head * dim, scores.rows, dim, dim});
  }

  static T max_of(Extent n, const T* x) {
    constexpr T lowest = std::numeric_limits<T>::lowest();
    Lanes<T> max = Lanes<T>::Constant(lowest);
    for (Extent i = 0; i < n; i += lanes<T>) max = max.max(load(x + i, std::min(lanes<T>, n - i), lowest));
    return max.maxCoeff();
  }

  /// Scores to exp(scale * (score - largest)); returns the reciprocal of each query's sum, and the log of it, the
  /// largest put back, in log_sum.
  static A softmax_numerators(const QueryPanel<T>& panel, T* scores, T scale, A& log_sum) {
    panel.mask(scores, std::numeric_limits<T>::lowest());
    A max = A::Constant(std::numeric_limits<T>::lowest());
    for (Extent j = 0; j < panel.keys; ++j) max = max.max(row_of(scores, j));
    A sum = A::Zero();
    for (Extent j = 0; j < panel.keys; ++j) {
      const A e = ((row_of(scores, j) - max) * scale).exp();
      row_of(scores, j) = e;
      sum += e;
    }
    // A query without keys: output and statistic are zero.
    if (panel.keys == 0) {
      log_sum.setZero();
      return A::Zero();
    }
    panel.mask(scores, T(0));
    log_sum = max * scale + sum.log();
    return sum.inverse();
  }

  /// Scales, caps and biases scores, if there is a cap or a bias; returns what is still to be multiplied with.
  static T bias_scores(const QueryPanel<T>& panel, T* scores, T scale, const HeadBias<T>& bias,
                       T* cap_slopes = nullptr) {
    if (!bias.any()) return scale;
    bias.apply(panel, scores, scale, cap_slopes);
    return T(1);
  }

  static void recompute_probabilities(const QueryPanel<T>& panel, T* scores, T scale, Matrix<const T> stats, Extent row,
                                      Extent head) {
    A log_sum = A::Constant(std::numeric_limits<T>::max());  // probability 0 for what fills up the panel
    for (Extent i = 0; i < panel.count; ++i) log_sum[i] = stats.data[(row + i) * stats.stride + head];
    for (Extent j = 0; j < panel.keys; ++j) row_of(scores, j) = (row_of(scores, j) * scale - log_sum).exp();
    panel.mask(scores, T(0));
  }

  /// Each query's sum of grad_output * output: what all its scores' gradients are lowered by.
  static A row_dots(const QueryPanel<T>& panel, const T* dy, Extent dy_stride, const T* y, Extent y_stride,
                    Extent dim) {
    A dots = A::Zero();
    const auto term = [](const Lanes<T>& a, const Lanes<T>& b) { return std::array<Lanes<T>, 1>{a * b}; };
    for (Extent i = 0; i < panel.count; ++i)
      dots[i] = static_cast<T>(sum_lanes<T, 1>(dim, T(0), term, dy + i * dy_stride, y + i * y_stride)[0]);
    return dots;
  }

  static void add_up_buckets(const Distances& distances, const T* by_distance, Extent buckets, T* by_bucket) {
    std::fill_n(by_bucket, buckets, T(0));
    for (Extent entry = 0; entry < distances.size(); ++entry) by_bucket[distances.bucket(entry)] += by_distance[entry];
  }
  /// grad_bias (buckets, heads) += sums over sequences, in their order.
  static void add_up_sequences(const AttentionShape& shape, const T* bucket_sums, Matrix<T> grad_bias) {
    for (Extent s = 0; s < shape.queries.count; ++s) {
      for (Extent h = 0; h < shape.heads; ++h) {
        for (Extent b = 0; b < shape.relative.buckets; ++b) grad_bias.data[b * grad_bias.stride + h] += *bucket_sums++;
      }
    }
  }

  /// gradient (keys, dim) += panel (keys, queries) right (queries, dim).
  static void add_product(const QueryPanel<T>& panel, const T* left, const T* right, Extent dim, T* gradient,
                          Extent stride) {
    for (Extent d = 0; d < dim; d += panel_width) {
      multiply_panel<T, Left::panel>(panel.keys, std::min(panel_width, dim - d), panel.count, left,
                                     Tile<T>::rows * panel_width, right + d * panel.count, gradient + d, stride,
                                     Write::accumulate);
    }
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
