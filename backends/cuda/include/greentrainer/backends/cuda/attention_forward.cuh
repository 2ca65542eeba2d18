#pragma once

#include <cmath>
#include <limits>

#include "greentrainer/backends/cuda/attention_scores.cuh"

namespace greentrainer::cuda {

/// Elements of shared memory of the kernel below.
template <class Tile>
inline constexpr std::size_t attention_forward_shared =
    Tile::owned_size + 2 * Tile::streamed_size + Tile::scores_size + Tile::diagonals_size;

/// Output and statistics of a tile of queries of one head, a block each. The block walks over the keys that its queries
/// see with a running maximum and sum (Dao et al., FlashAttention, arXiv 2205.14135), so that scores exist a tile at a
/// time.
template <class T, int D, int R>
__global__ void __launch_bounds__(attention_threads, D <= 80 ? 3 : 2)
    attention_forward_kernel(AttentionProblem<T> problem, Matrix<const T> queries, Matrix<const T> keys,
                             Matrix<const T> values, Matrix<T> output, Matrix<T> stats) {
  using Tile = AttentionTile<T, D, R>;
  GREENTRAINER_DYNAMIC_SHARED(T, query_tile);              // (rows, D)
  T* const key_tile = query_tile + Tile::owned_size;       // (cols, D)
  T* const value_tile = key_tile + Tile::streamed_size;    // (cols, D)
  T* const numerators = value_tile + Tile::streamed_size;  // (rows, cols)
  T* const by_diagonal = numerators + Tile::scores_size;   // (diagonals)

  const AttentionShape& shape = problem.shape;
  const AttentionBlock block(shape, shape.heads);
  const AttendingSequence sequence(shape, block.sequence);
  const int dim = static_cast<int>(shape.head_dim);
  const Extent head_col = block.head * shape.columns_a_head(),
               kv_col = block.head / (shape.heads / shape.kv_heads) * shape.columns_a_head();
  const HeadRows<const T> key_rows = head_rows(keys, sequence.first_key, sequence.keys, kv_col, dim);
  const HeadRows<const T> value_rows = head_rows(values, sequence.first_key, sequence.keys, kv_col, dim);

  // Later queries see more keys: tiles run from the last to the first.
  const int tiles = static_cast<int>(ceil_div(shape.queries.max_length, Tile::rows));
  const int first = (tiles - 1 - block.tile) * Tile::rows;
  Tile::template load_rows<Tile::rows>(head_rows(queries, sequence.first_query, sequence.queries, head_col, dim), first,
                                       query_tile);

  const T lowest = std::numeric_limits<T>::lowest();
  const ScoreTerms<T> score(shape, block.head);
  int begins[R], seen[R];  // of the keys that a row's query sees
  T largest[R], sum[R];    // the sum is of the lane's own columns
  typename Tile::Sums out;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    seen[i] = sequence.seen(shape, first + Tile::row(i));
    begins[i] = seen[i] > 0 ? sequence.first_key_seen(shape, first + Tile::row(i)) : 0;
    largest[i] = lowest;
    sum[i] = T(0);
#pragma unroll
    for (int k = 0; k < Tile::depth; ++k) out[i][k] = T(0);
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
          problem, block.head, [=](int diagonal) { return corner - diagonal; }, by_diagonal);
    } else {
      load_relative<Tile>(
          problem, block.head,
          [&](int row, int col) { return key + col - sequence.position_or_last(shape, first + row); }, numerators);
    }
    __syncthreads();

    typename Tile::Scores scores;
    Tile::multiply_rows(query_tile, key_tile, scores);
#pragma unroll
    for (int i = 0; i < R; ++i) {
      T highest = largest[i];
#pragma unroll
      for (int j = 0; j < Tile::thread_cols; ++j) {
        const int position = key + Tile::col(j);
        const T* relative = side_by_side ? by_diagonal + Tile::diagonal(i, j) : Tile::score_in(numerators, i, j);
        const bool visible = position >= begins[i] && position < seen[i];
        scores[i][j] = visible ? score(score.share(scores[i][j]), position, relative) : lowest;
        highest = scores[i][j] > highest ? scores[i][j] : highest;
      }
      highest = Tile::lanes_max(highest);
      const T correction = std::exp(largest[i] - highest);
      largest[i] = highest;
      sum[i] *= correction;
      Tile::scale_row(out[i], correction);
#pragma unroll
      for (int j = 0; j < Tile::thread_cols; ++j) {
        const int position = key + Tile::col(j);
        const bool visible = position >= begins[i] && position < seen[i];
        const T numerator = visible ? std::exp(scores[i][j] - highest) : T(0);
        sum[i] += numerator;
        Tile::store_score(numerators, i, j, numerator);
      }
    }
    __syncwarp();
    Tile::add_weighted_rows(numerators, value_tile, out);
  }

#pragma unroll
  for (int i = 0; i < R; ++i) {
    const T total = Tile::lanes_sum(sum[i]);
    const bool any = seen[i] > 0;
    Tile::scale_row(out[i], any ? T(1) / total : T(0));
    if (Tile::lane() == 0 && first + Tile::row(i) < sequence.queries) {
      stats.data[(sequence.first_query + first + Tile::row(i)) * stats.stride + block.head] =
          any ? largest[i] + std::log(total) : T(0);
    }
  }
  Tile::store_sums(head_rows(output, sequence.first_query, sequence.queries, block.head * shape.head_dim, dim), first,
                   out);
}

}  // namespace greentrainer::cuda
