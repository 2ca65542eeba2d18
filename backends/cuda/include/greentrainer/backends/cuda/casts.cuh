#pragma once

#include <cstdint>

#include "greentrainer/backends/cuda/vectors.cuh"
#include "greentrainer/core/dtype.hpp"

namespace greentrainer::cuda {

/// bfloat16 as memory holds it.
using Bfloat16 = std::uint16_t;

inline constexpr int cast_block = 256;

/// y (rows, cols) = x, rounded to the nearest. Blocks: x along the columns, y along the rows.
template <int N, class T>
__global__ void __launch_bounds__(cast_block) cast_kernel(Extent rows, Extent cols, const T* __restrict__ x,
                                                          Extent x_stride, Bfloat16* __restrict__ y, Extent y_stride) {
  for_own_elements<N, cast_block>(cols, [=]<int n>(Extent c, Width<n>) {
    for (Extent row = blockIdx.y; row < rows; row += gridDim.y) {
      const Vector<T, n> from = load<n>(x + row * x_stride + c);
      Vector<Bfloat16, n> to;
#pragma unroll
      for (int i = 0; i < n; ++i) to.at[i] = float_to_bfloat16(from.at[i]);
      store(y + row * y_stride + c, to);
    }
  });
}

}  // namespace greentrainer::cuda
