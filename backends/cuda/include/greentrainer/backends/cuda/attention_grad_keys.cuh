#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/attention_scores.cuh"

namespace greentrainer::cuda {

/// Elements of shared memory of the kernel below.
template <class Tile>
inline constexpr std::size_t attention_grad_keys_shared =
    2 * Tile::owned_size + 2 * Tile::streamed_size + Tile::scores_size + Tile::diagonals_size + 4 * Tile::cols;

/// Gradients of a tile of keys and values of one key-value head, a block each: sums over all queries that see them,
/// head after head of the group. Scores are formed transposed, (keys, queries). grad_keys or grad_values may be null;
/// values and along are read for grad_keys alone.
template <class T, int D>
__global__ void __launch_bounds__(attention_threads, 2)
    attention_grad_keys_kernel(AttentionProblem<T> problem, Matrix<const T> queries, Matrix<const T> keys,
                               Matrix<const T> values, Matrix<const T> stats, Matrix<const T> grad_output,
                               const T* along, Matrix<T> grad_keys, Matrix<T> grad_values) {
  using Tile = AttentionTile<T, D>;
  constexpr int R = Tile::thread_rows;
  GREENTRAINER_DYNAMIC_SHARED(T, key_tile);                      // (rows, D)
  T* const value_tile = key_tile + Tile::owned_size;             // (rows, D)
  T* const query_tile = value_tile + Tile::owned_size;           // (cols, D)
  T* const grad_output_tile = query_tile + Tile::streamed_size;  // (cols, D)
  T* const weights = grad_output_tile + Tile::streamed_size;  // (rows, cols): probabilities, then gradients of scores
  T* const by_diagonal = weights + Tile::scores_size;         // (diagonals)
  T* const log_sums = by_diagonal + Tile::diagonals_size;     // (cols)
  T* const lowered = log_sums + Tile::cols;                   // (cols)
  // Of the keys that a query sees.
  int* const keys_seen = reinterpret_cast<int*>(lowered + Tile::cols);       // (cols)
  int* const first_seen = reinterpret_cast<int*>(lowered + 2 * Tile::cols);  // (cols)

  const AttentionShape& shape = problem.shape;
  const AttentionBlock block(shape, shape.kv_heads);
  const AttendingSequence sequence(shape, block.sequence);
  const int dim = static_cast<int>(shape.head_dim), group = static_cast<int>(shape.heads / shape.kv_heads);
  const Extent kv_col = block.head * shape.columns_a_head();

  // Earlier keys are seen by more queries: tiles run from the first to the last.
  const int first = block.tile * Tile::rows;
  Tile::template load_rows<Tile::rows>(head_rows(keys, sequence.first_key, sequence.keys, kv_col, dim), first,
                                       key_tile);
  if (grad_keys.data != nullptr) {
    Tile::template load_rows<Tile::rows>(head_rows(values, sequence.first_key, sequence.keys, kv_col, dim), first,
                                         value_tile);
  }
  typename Tile::Sums key_sums, value_sums;
#pragma unroll
  for (int i = 0; i < R; ++i) {
#pragma unroll
    for (int k = 0; k < Tile::depth; ++k) key_sums[i][k] = value_sums[i][k] = T(0);
  }

  const bool side_by_side = shape.positions == nullptr;
  const int last = first + Tile::rows < sequence.keys ? first + Tile::rows - 1 : sequence.keys - 1;
  const int end_query = sequence.end_of_queries_seeing(shape, last);
  const int first_query = first < sequence.keys ? sequence.first_query_seeing(shape, first) : end_query;
  for (int head = block.head * group; head < (block.head + 1) * group; ++head) {
    const HeadRows<const T> query_rows =
        head_rows(queries, sequence.first_query, sequence.queries, head * shape.columns_a_head(), dim);
    const HeadRows<const T> grad_output_rows =
        head_rows(grad_output, sequence.first_query, sequence.queries, head * shape.head_dim, dim);
    const ScoreTerms<T> score(shape, head);
    for (int query = first_query; query < end_query; query += Tile::cols) {
      __syncthreads();  // everyone is done with the tiles before
      Tile::template load_rows<Tile::cols>(query_rows, query, query_tile);
      Tile::template load_rows<Tile::cols>(grad_output_rows, query, grad_output_tile);
      for (int c = static_cast<int>(threadIdx.x); c < Tile::cols; c += attention_threads) {
        const Extent row = sequence.first_query + query + c;
        const bool there = query + c < sequence.queries;
        keys_seen[c] = sequence.seen(shape, query + c);
        first_seen[c] = there ? sequence.first_key_seen(shape, query + c) : 0;
        log_sums[c] = there ? stats.data[row * stats.stride + head] : T(0);
        if (grad_keys.data != nullptr) lowered[c] = there ? along[row * shape.heads + head] : T(0);
      }
      if (side_by_side) {
        const int corner = first - sequence.position(shape, query) - (Tile::cols - 1);
        load_diagonals<Tile>(
            problem, head, [=](int diagonal) { return corner + diagonal; }, by_diagonal);
      } else {
        load_relative<Tile>(
            problem, head,
            [&](int row, int col) { return first + row - sequence.position_or_last(shape, query + col); }, weights);
      }
      __syncthreads();

      typename Tile::Scores probabilities, cap_slopes;
      Tile::multiply_rows(key_tile, query_tile, probabilities);
#pragma unroll
      for (int j = 0; j < Tile::thread_cols; ++j) {
        const int begin = first_seen[Tile::col(j)], seen = keys_seen[Tile::col(j)];
#pragma unroll
        for (int i = 0; i < R; ++i) {
          const int position = first + Tile::row(i);
          const T* relative = side_by_side ? by_diagonal + Tile::diagonal(i, j) : Tile::score_in(weights, i, j);
          const T share = score.share(probabilities[i][j]);
          cap_slopes[i][j] = score.slope_of_cap(share);
          probabilities[i][j] = position >= begin && position < seen
                                    ? std::exp(score(share, position, relative) - log_sums[Tile::col(j)])
                                    : T(0);
          Tile::store_score(weights, i, j, probabilities[i][j]);
        }
      }
      __syncwarp();
      if (grad_values.data != nullptr) Tile::add_weighted_rows(weights, grad_output_tile, value_sums);
      if (grad_keys.data != nullptr) {
        typename Tile::Scores slopes;
        Tile::multiply_rows(value_tile, grad_output_tile, slopes);
        __syncwarp();  // the probabilities have been read
#pragma unroll
        for (int i = 0; i < R; ++i) {
#pragma unroll
          for (int j = 0; j < Tile::thread_cols; ++j)
            Tile::store_score(weights, i, j,
                              probabilities[i][j] * (slopes[i][j] - lowered[Tile::col(j)]) * cap_slopes[i][j]);
        }
        __syncwarp();
        Tile::add_weighted_rows(weights, query_tile, key_sums);
      }
    }
  }

  if (grad_values.data != nullptr)
    Tile::store_sums(head_rows(grad_values, sequence.first_key, sequence.keys, kv_col, dim), first, value_sums);
  if (grad_keys.data != nullptr) {
#pragma unroll
    for (int i = 0; i < R; ++i) Tile::scale_row(key_sums[i], static_cast<T>(shape.scale));
    Tile::store_sums(head_rows(grad_keys, sequence.first_key, sequence.keys, kv_col, dim), first, key_sums);
  }
}

}  // namespace greentrainer::cuda
