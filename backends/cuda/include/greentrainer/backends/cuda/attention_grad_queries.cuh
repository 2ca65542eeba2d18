#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/attention_scores.cuh"

namespace greentrainer::cuda {

/// Elements of shared memory of the kernel below, without what it has for each bucket of a relative bias.
template <class Tile>
inline constexpr std::size_t attention_grad_queries_shared =
    2 * Tile::owned_size + 2 * Tile::streamed_size + Tile::scores_size + 3 * Tile::diagonals_size;

/// Gradient of a tile of queries of one head, a block each, and what the tile adds to the gradient of the relative
/// bias: bias_sums (block, buckets). grad_queries or bias_sums may be null.
template <class T, int D>
__global__ void __launch_bounds__(attention_threads, 2)
    attention_grad_queries_kernel(AttentionProblem<T> problem, Matrix<const T> queries, Matrix<const T> keys,
                                  Matrix<const T> values, Matrix<const T> stats, Matrix<const T> grad_output,
                                  const T* along, Matrix<T> grad_queries, T* bias_sums) {
  using Tile = AttentionTile<T, D>;
  constexpr int R = Tile::thread_rows;
  GREENTRAINER_DYNAMIC_SHARED(T, query_tile);                     // (rows, D)
  T* const grad_output_tile = query_tile + Tile::owned_size;      // (rows, D)
  T* const key_tile = grad_output_tile + Tile::owned_size;        // (cols, D)
  T* const value_tile = key_tile + Tile::streamed_size;           // (cols, D)
  T* const grad_scores = value_tile + Tile::streamed_size;        // (rows, cols)
  T* const by_diagonal = grad_scores + Tile::scores_size;         // (diagonals)
  T* const diagonal_sums = by_diagonal + Tile::diagonals_size;    // (diagonals)
  T* const by_bucket = diagonal_sums + 2 * Tile::diagonals_size;  // (buckets)
  int* const bucket_of_diagonal = reinterpret_cast<int*>(diagonal_sums + Tile::diagonals_size);

  const AttentionShape& shape = problem.shape;
  const AttentionBlock block(shape, shape.heads);
  const AttendingSequence sequence(shape, block.sequence);
  const int dim = static_cast<int>(shape.head_dim), buckets = static_cast<int>(shape.relative.buckets);
  const Extent head_col = block.head * shape.columns_a_head(),
               kv_col = block.head / (shape.heads / shape.kv_heads) * shape.columns_a_head();
  const HeadRows<const T> key_rows = head_rows(keys, sequence.first_key, sequence.keys, kv_col, dim);
  const HeadRows<const T> value_rows = head_rows(values, sequence.first_key, sequence.keys, kv_col, dim);

  const int tiles = static_cast<int>(ceil_div(shape.queries.max_length, Tile::rows));
  const int first = (tiles - 1 - block.tile) * Tile::rows;
  Tile::template load_rows<Tile::rows>(head_rows(queries, sequence.first_query, sequence.queries, head_col, dim), first,
                                       query_tile);
  Tile::template load_rows<Tile::rows>(
      head_rows(grad_output, sequence.first_query, sequence.queries, block.head * shape.head_dim, dim), first,
      grad_output_tile);
  if (bias_sums != nullptr) {
    for (int b = static_cast<int>(threadIdx.x); b < buckets; b += attention_threads) by_bucket[b] = T(0);
  }

  const ScoreTerms<T> score(shape, block.head);
  int begins[R], seen[R];  // of the keys that a row's query sees
  T log_sum[R], lowered[R];
  typename Tile::Sums grad;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int query = first + Tile::row(i);
    const Extent row = sequence.first_query + query;
    seen[i] = sequence.seen(shape, query);
    begins[i] = seen[i] > 0 ? sequence.first_key_seen(shape, query) : 0;
    log_sum[i] = seen[i] > 0 ? stats.data[row * stats.stride + block.head] : T(0);
    lowered[i] = seen[i] > 0 ? along[row * shape.heads + block.head] : T(0);
#pragma unroll
    for (int k = 0; k < Tile::depth; ++k) grad[i][k] = T(0);
  }

  const int last = first + Tile::rows < sequence.queries ? first + Tile::rows - 1 : sequence.queries - 1;
  const int keys_seen = first < sequence.queries ? sequence.seen(shape, last) : 0;
  const bool side_by_side = shape.positions == nullptr;
  for (int key = sequence.next_key_seen(shape, first, 0); key < keys_seen;
       key = sequence.next_key_seen(shape, first, key + Tile::cols)) {
    __syncthreads();  // everyone is done with the tiles before
    Tile::template load_rows<Tile::cols>(key_rows, key, key_tile);
    Tile::template load_rows<Tile::cols>(value_rows, key, value_tile);
    if (side_by_side) {
      const int corner = key - sequence.position(shape, first) + Tile::cols - 1;
      load_diagonals<Tile>(
          problem, block.head, [=](int diagonal) { return corner - diagonal; }, by_diagonal, bucket_of_diagonal);
    } else {
      load_relative<Tile>(
          problem, block.head,
          [&](int row, int col) { return key + col - sequence.position_or_last(shape, first + row); }, grad_scores);
    }
    __syncthreads();

    typename Tile::Scores probabilities, slopes;
    Tile::multiply_rows(query_tile, key_tile, probabilities);
    Tile::multiply_rows(grad_output_tile, value_tile, slopes);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < Tile::thread_cols; ++j) {
        const int position = key + Tile::col(j);
        const T* relative = side_by_side ? by_diagonal + Tile::diagonal(i, j) : Tile::score_in(grad_scores, i, j);
        const bool visible = position >= begins[i] && position < seen[i];
        const T share = score.share(probabilities[i][j]);
        const T probability = visible ? std::exp(score(share, position, relative) - log_sum[i]) : T(0);
        probabilities[i][j] = probability * (slopes[i][j] - lowered[i]);
        Tile::store_score(grad_scores, i, j, probabilities[i][j] * score.slope_of_cap(share));
      }
    }
    __syncwarp();
    if (grad_queries.data != nullptr) Tile::add_weighted_rows(grad_scores, key_tile, grad);

    if (bias_sums != nullptr) {
      if (score.cap > T(0)) {  // the bias is added behind the cap: its gradient does not go through that
        __syncwarp();
#pragma unroll
        for (int i = 0; i < R; ++i) {
#pragma unroll
          for (int j = 0; j < Tile::thread_cols; ++j) Tile::store_score(grad_scores, i, j, probabilities[i][j]);
        }
      }
      __syncthreads();  // all rows of grad_scores are there
      if (side_by_side) {
        for (int d = static_cast<int>(threadIdx.x); d < Tile::diagonals; d += attention_threads)
          diagonal_sums[d] = Tile::diagonal_sum(grad_scores, d);
      }
      __syncthreads();
      for (int b = static_cast<int>(threadIdx.x); b < buckets; b += attention_threads) {
        if (side_by_side) {
          for (int d = 0; d < Tile::diagonals; ++d) {
            if (bucket_of_diagonal[d] == b) by_bucket[b] += diagonal_sums[d];
          }
        } else {
          for (int r = 0; first + r <= last && r < Tile::rows; ++r) {
            const int distance = key - sequence.position(shape, first + r);
            for (int c = 0; c < Tile::cols; ++c) {
              if (problem.buckets(distance + c) == b) by_bucket[b] += grad_scores[r * Tile::score_stride + c];
            }
          }
        }
      }
    }
  }

  if (grad_queries.data != nullptr) {
#pragma unroll
    for (int i = 0; i < R; ++i) Tile::scale_row(grad[i], score.scale);
    Tile::store_sums(head_rows(grad_queries, sequence.first_query, sequence.queries, head_col, dim), first, grad);
  }
  if (bias_sums != nullptr) {
    for (int b = static_cast<int>(threadIdx.x); b < buckets; b += attention_threads) {
      bias_sums[static_cast<Extent>(blockIdx.x) * buckets + b] = by_bucket[b];
    }
  }
}

}  // namespace greentrainer::cuda
