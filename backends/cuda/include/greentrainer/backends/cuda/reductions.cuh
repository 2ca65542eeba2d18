#pragma once

#include "greentrainer/backends/cuda/device.hpp"

namespace greentrainer::cuda {

// Sums and the like in an order that the block's size alone decides. Every thread of the warp or block takes part and
// gets the result.

template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
  for (int distance = warp_size / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(full_mask, value, distance);
  return value;
}

template <class T>
__device__ T warp_min(T value) {
#pragma unroll
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(full_mask, value, distance);
    value = other < value ? other : value;
  }
  return value;
}

/// `by_warp`: Block / warp_size elements of shared memory that nothing else in the kernel uses, so that one barrier is
/// enough.
template <int Block, class T>
__device__ T block_sum(T value, T* by_warp) {
  static_assert(Block % warp_size == 0);
  value = warp_sum(value);
  if (threadIdx.x % warp_size == 0) by_warp[threadIdx.x / warp_size] = value;
  __syncthreads();
  T sum = by_warp[0];
#pragma unroll
  for (int warp = 1; warp < Block / warp_size; ++warp) sum += by_warp[warp];
  return sum;
}

}  // namespace greentrainer::cuda
