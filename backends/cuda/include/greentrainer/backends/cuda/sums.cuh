#pragma once

#include <algorithm>

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/backends/cuda/reductions.cuh"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

// result[0] += a sum over n elements, in double, in two passes: as many blocks as n alone decides, then their sums.

inline constexpr int sum_block = 256;
inline constexpr int sum_warps = sum_block / warp_size;

/// partial[block] = sum of Term::value(a, b, c) over the block's share of n elements.
template <int N, class Term, class T>
__global__ void __launch_bounds__(sum_block)
    sum_terms_kernel(Extent n, const T* a, const T* b, const T* c, double* partial) {
  GREENTRAINER_SHARED_ARRAY(double, by_warp, sum_warps);
  const Extent step = static_cast<Extent>(gridDim.x) * sum_block * N;
  double sum = 0;
  for (Extent first = 0; first < n; first += step) {
    for_own_elements<N, sum_block>(n - first, [&]<int width>(Extent i, Width<width>) {
      const Vector<T, width> x = load<width>(a + first + i);
      Vector<T, width> y = {}, z = {};
      if constexpr (Term::operands > 1) {
        y = load<width>(b + first + i);
        z = load<width>(c + first + i);
      }
#pragma unroll
      for (int k = 0; k < width; ++k) sum += static_cast<double>(Term::value(x.at[k], y.at[k], z.at[k]));
    });
  }
  sum = block_sum<sum_block>(sum, by_warp);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// result[0] += partial[0] + ... + partial[n - 1]. One block.
template <class T>
__global__ void __launch_bounds__(sum_block) add_sum_kernel(Extent n, const T* partial, double* result) {
  GREENTRAINER_SHARED_ARRAY(double, by_warp, sum_warps);
  double sum = 0;
  for (Extent i = threadIdx.x; i < n; i += sum_block) sum += static_cast<double>(partial[i]);
  sum = block_sum<sum_block>(sum, by_warp);
  if (threadIdx.x == 0) *result += sum;
}

template <class Term, class T>
void add_sum_of_terms(Context& context, Extent n, const T* a, const T* b, const T* c, double* result) {
  if (n == 0) return;
  constexpr Extent most_blocks = 1024, elements_a_thread = 16;
  const Extent blocks = std::min(most_blocks, ceil_div(n, sum_block * elements_a_thread));
  Scratch<double> partial(context, blocks);
  const auto run = [&]<int width>(Width<width>) {
    launch(context.stream(), grid_of(blocks), sum_block, 0, sum_terms_kernel<width, Term, T>, n, a, b, c,
           partial.data());
  };
  with_width<T>(run, a, b, c);
  launch(context.stream(), grid_of(1), sum_block, 0, add_sum_kernel<double>, blocks, partial.data(), result);
}

}  // namespace greentrainer::cuda
