#pragma once

#include <cstdint>
#include <cstring>

#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

/// bfloat16 as memory holds it: the upper half of a float.
struct Bfloat16 {
  std::uint16_t bits;
};

/// To the nearest, ties to even; a NaN becomes the one that cuda_bf16.h makes.
__device__ inline Bfloat16 rounded(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {0x7fff};
  bits += 0x7fffU + ((bits >> 16) & 1U);
  return {static_cast<std::uint16_t>(bits >> 16)};
}

inline constexpr int cast_block = 256;

/// y (rows, cols) = x, rounded. Blocks: x along the columns, y along the rows.
template <int N, class T>
__global__ void __launch_bounds__(cast_block)
    cast_kernel(Extent rows, Extent cols, const T* __restrict__ x, Extent x_stride, Bfloat16* __restrict__ y, Extent y_stride) {
  for_own_elements<N, cast_block>(cols, [=]<int n>(Extent c, Width<n>) {
    for (Extent row = blockIdx.y; row < rows; row += gridDim.y) {
      const Vector<T, n> from = load<n>(x + row * x_stride + c);
      Vector<Bfloat16, n> to;
#pragma unroll
      for (int i = 0; i < n; ++i) to.at[i] = rounded(from.at[i]);
      store(y + row * y_stride + c, to);
    }
  });
}

}  // namespace greentrainer::cuda
