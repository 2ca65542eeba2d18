#pragma once

#include <type_traits>

#include "greentrainer/backends/cuda/attention_forward.cuh"
#include "greentrainer/backends/cuda/attention_grad_keys.cuh"
#include "greentrainer/backends/cuda/attention_grad_queries.cuh"
#include "greentrainer/backends/cuda/reductions.cuh"

namespace greentrainer::cuda {

// Probabilities are recomputed from queries, keys and each row's log-sum-exp. Gradients of queries and of keys and
// values are formed in two passes that both walk over all scores, so that every sum is one thread's own, in an order
// that the shape decides.

/// along (query rows, heads) = grad_output . output of each head: what all gradients of its scores are lowered by. A
/// warp each.
template <class T>
__global__ void __launch_bounds__(attention_threads)
    attention_along_kernel(int head_dim, Extent heads, Extent pairs, Matrix<const T> output,
                           Matrix<const T> grad_output, T* along) {
  const Extent pair = static_cast<Extent>(blockIdx.x) * (attention_threads / warp_size) + threadIdx.x / warp_size;
  T sum = T(0);
  if (pair < pairs) {
    const Extent row = pair / heads, col = pair % heads * head_dim;
    const T* y = output.data + row * output.stride + col;
    const T* dy = grad_output.data + row * grad_output.stride + col;
    for (int d = static_cast<int>(threadIdx.x) % warp_size; d < head_dim; d += warp_size) sum += dy[d] * y[d];
  }
  sum = warp_sum(sum);
  if (pair < pairs && threadIdx.x % warp_size == 0) along[pair] = sum;
}

/// grad_bias (buckets, heads) += bias_sums (parts, heads, buckets), parts added in order. A thread a number.
template <class T>
__global__ void __launch_bounds__(attention_threads)
    attention_add_bias_sums_kernel(Extent parts, int heads, int buckets, const T* bias_sums, Matrix<T> grad_bias) {
  const int i = static_cast<int>(blockIdx.x) * attention_threads + static_cast<int>(threadIdx.x);
  if (i >= heads * buckets) return;
  T sum = T(0);
  for (Extent part = 0; part < parts; ++part) sum += bias_sums[part * heads * buckets + i];
  grad_bias.data[i % buckets * grad_bias.stride + i / buckets] += sum;
}

inline constexpr Extent attention_max_head_dim = 256;

/// A number known at compile time, as an argument.
template <int N>
using Constant = std::integral_constant<int, N>;

/// Calls run(Constant) with the smallest head size there are kernels for that holds head_dim. Throws BackendError if
/// there is none.
template <class T, class Run>
void with_head_size(Extent head_dim, Run run) {
  // double serves gradient checks: fewer sizes, more padding.
  if constexpr (sizeof(T) == sizeof(float)) {
    if (head_dim <= 16) return run(Constant<16>{});
  }
  if (head_dim <= 32) return run(Constant<32>{});
  if (head_dim <= 64) return run(Constant<64>{});
  if constexpr (sizeof(T) == sizeof(float)) {
    if (head_dim <= 80) return run(Constant<80>{});
    if (head_dim <= 96) return run(Constant<96>{});
  }
  if (head_dim <= 128) return run(Constant<128>{});
  if (head_dim <= attention_max_head_dim) return run(Constant<256>{});
  throw BackendError("CudaBackend::attention", "head_dim",
                     text("expected at most ", attention_max_head_dim, ", got ", head_dim));
}

/// Softmax attention as the Backend concept states it. head_dim at most 256.
template <class T>
void attention_forward(Stream stream, const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                       Matrix<const T> values, Matrix<const T> bias, Matrix<T> output, Matrix<T> stats) {
  const AttentionProblem<T> problem(shape, bias);
  with_head_size<T>(shape.head_dim, [&](auto size) {
    const auto run = [&](auto rows_a_thread) {
      constexpr int D = decltype(size)::value, R = decltype(rows_a_thread)::value;
      using Tile = AttentionTile<T, D, R>;
      const Extent tiles = ceil_div(shape.queries.max_length, Tile::rows);
      launch(stream, AttentionBlock::grid(shape, shape.heads, tiles), attention_threads,
             sizeof(T) * attention_forward_shared<Tile>, attention_forward_kernel<T, D, R>, problem, queries, keys,
             values, output, stats);
    };
    // Few queries a sequence, as in generation, leave most rows of a large tile empty.
    using Large = AttentionTile<T, decltype(size)::value>;
    if (shape.queries.max_length <= Large::groups) return run(Constant<1>{});
    run(Constant<Large::thread_rows>{});
  });
}

/// Scratch elements of attention_grad.
template <class T>
Extent attention_grad_scratch(const AttentionShape& shape, Extent query_rows) {
  const Extent most_tiles = ceil_div(shape.queries.max_length, attention_threads / 8);
  return query_rows * shape.heads + most_tiles * shape.queries.count * shape.heads * shape.relative.buckets;
}

/// Gradients of attention as the Backend concept states them: those whose data is null are not formed, nor what only
/// they need. `scratch`: attention_grad_scratch elements.
template <class T>
void attention_grad(Stream stream, const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                    Matrix<const T> values, Matrix<const T> bias, Matrix<const T> output, Matrix<const T> stats,
                    Matrix<const T> grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys, Matrix<T> grad_values,
                    Matrix<T> grad_bias, T* scratch) {
  const AttentionProblem<T> problem(shape, bias);
  T* const along = scratch;  // (query rows, heads)
  if (grad_queries || grad_keys || grad_bias) {
    const Extent pairs = grad_output.rows * shape.heads;
    launch(stream, grid_of(ceil_div(pairs, attention_threads / warp_size)), attention_threads, 0,
           attention_along_kernel<T>, static_cast<int>(shape.head_dim), shape.heads, pairs, output, grad_output, along);
  }
  with_head_size<T>(shape.head_dim, [&](auto size) {
    constexpr int D = decltype(size)::value;
    using Tile = AttentionTile<T, D>;
    if (grad_keys || grad_values) {
      const Extent tiles = ceil_div(shape.keys.max_length, Tile::rows);
      launch(stream, AttentionBlock::grid(shape, shape.kv_heads, tiles), attention_threads,
             sizeof(T) * attention_grad_keys_shared<Tile>, attention_grad_keys_kernel<T, D>, problem, queries, keys,
             values, stats, grad_output, along, grad_keys, grad_values);
    }
    if (grad_queries || grad_bias) {
      const Extent tiles = ceil_div(shape.queries.max_length, Tile::rows),
                   buckets = grad_bias ? shape.relative.buckets : 0;
      T* const bias_sums =
          grad_bias ? along + grad_output.rows * shape.heads : nullptr;  // (tiles, sequences, heads, buckets)
      launch(stream, AttentionBlock::grid(shape, shape.heads, tiles), attention_threads,
             sizeof(T) * (attention_grad_queries_shared<Tile> + static_cast<std::size_t>(buckets)),
             attention_grad_queries_kernel<T, D>, problem, queries, keys, values, stats, grad_output, along,
             grad_queries, bias_sums);
      if (!grad_bias) return;
      launch(stream, grid_of(ceil_div(shape.heads * buckets, attention_threads)), attention_threads, 0,
             attention_add_bias_sums_kernel<T>, tiles * shape.queries.count, static_cast<int>(shape.heads),
             static_cast<int>(buckets), bias_sums, grad_bias);
    }
  });
}

}  // namespace greentrainer::cuda
