#pragma once

#include <algorithm>

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

// out (cols) += sum over rows of a term, in two passes: chunks of rows, whose limits follow from the number of rows
// alone, then the chunks in order.

inline constexpr int column_sum_block = 256;
inline constexpr int column_sum_warps = column_sum_block / warp_size;

/// partial (chunks, cols). A block has a chunk of rows and, for each lane, N columns; its warps share the rows.
/// `Term::value(grad_output, x, stats row)`.
template <int N, class Term, class T>
__global__ void __launch_bounds__(column_sum_block, blocks_with<column_sum_block, 128>)
    column_sums_kernel(Extent rows, Extent cols, Extent chunk, const T* grad_output, Extent grad_output_stride,
                       const T* x, Extent x_stride, const T* stats, Extent stats_stride, T* partial) {
  constexpr int width = warp_size * N;
  GREENTRAINER_SHARED_ARRAY(T, by_warp, column_sum_warps * width);
  const int lane = static_cast<int>(threadIdx.x) % warp_size, warp = static_cast<int>(threadIdx.x) / warp_size;
  const Extent block_column = static_cast<Extent>(blockIdx.x) * width;
  const Extent column = block_column + lane * N;
  const Extent first = blockIdx.y * chunk, end = first + chunk < rows ? first + chunk : rows;

  Vector<T, N> sum = {};
  if (column < cols) {
    for (Extent row = first + warp; row < end; row += column_sum_warps) {
      const Vector<T, N> dy = load<N>(grad_output + row * grad_output_stride + column);
      Vector<T, N> input = {};
      if constexpr (Term::reads_input) input = load<N>(x + row * x_stride + column);
#pragma unroll
      for (int i = 0; i < N; ++i) sum.at[i] += Term::value(dy.at[i], input.at[i], stats + row * stats_stride);
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) by_warp[warp * width + lane * N + i] = sum.at[i];
  __syncthreads();
  const Extent own = threadIdx.x;
  if (own < width && block_column + own < cols) {
    T total = by_warp[own];
    for (int w = 1; w < column_sum_warps; ++w) total += by_warp[w * width + own];
    partial[blockIdx.y * cols + block_column + own] = total;
  }
}

/// out (cols) += partial[0] + partial[1] + ...
template <class T>
__global__ void __launch_bounds__(column_sum_block)
    add_chunks_kernel(Extent chunks, Extent cols, const T* partial, T* out) {
  for_own_elements<1, column_sum_block>(cols, [=](Extent c, Width<1>) {
    T sum = partial[c];
    for (Extent chunk = 1; chunk < chunks; ++chunk) sum += partial[chunk * cols + c];
    out[c] += sum;
  });
}

/// x and stats may be empty if Term does not read them.
template <class Term, class T>
void add_column_sums(Context& context, Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats, T* out) {
  const Extent rows = grad_output.rows, cols = grad_output.cols;
  if (rows == 0 || cols == 0) return;
  const Extent chunk = std::max<Extent>(64, ceil_div(rows, 64));
  const Extent chunks = ceil_div(rows, chunk);
  Scratch<T> partial(context, chunks * cols);
  const auto run = [&]<int n>(Width<n>) {
    launch(context.stream(), grid_of(ceil_div(cols, warp_size * n), chunks), column_sum_block, 0,
           column_sums_kernel<n, Term, T>, rows, cols, chunk, grad_output.data, grad_output.stride, x.data, x.stride,
           stats.data, stats.stride, partial.data());
  };
  with_width<T>(run, grad_output, x, Filled<T>{cols});
  launch(context.stream(), grid_of(ceil_div(cols, column_sum_block)), column_sum_block, 0, add_chunks_kernel<T>, chunks,
         cols, partial.data(), out);
}

}  // namespace greentrainer::cuda
