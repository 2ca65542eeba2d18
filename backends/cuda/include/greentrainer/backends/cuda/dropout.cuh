#pragma once

#include <algorithm>

#include "greentrainer/backends/cuda/dropout_kernel.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

inline constexpr int dropout_block = 256;

/// y = scale * x where the stream's number of an element, row * cols + column, is not below the threshold, else 0; or y
/// += that. y may be x. Blocks: x along the columns, y along the rows. Four numbers come at once; with cols a multiple
/// of N, a vector's are all among them.
template <int N, Write write, class T>
__global__ void __launch_bounds__(dropout_block)
    dropout_kernel(RandomStream stream, std::uint32_t threshold, T scale, Extent rows, Extent cols, const T* x,
                   Extent x_stride, T* y, Extent y_stride) {
  static_assert(N == 1 || N == 2 || N == 4);
  for_own_elements<N, dropout_block>(cols, [=]<int n>(Extent column, Width<n>) {
    for (Extent row = blockIdx.y; row < rows; row += gridDim.y) {
      const auto first = static_cast<std::uint64_t>(row * cols + column);
      const auto four = stream.block(first / 4);
      Vector<T, n> value = load<n>(x + row * x_stride + column);
#pragma unroll
      for (int i = 0; i < n; ++i) {
        const auto place =
            (first + static_cast<std::uint64_t>(i)) % 4;  // an index that is not known would put the four into memory
        const std::uint32_t bits = place < 2 ? (place == 0 ? four[0] : four[1]) : place == 2 ? four[2] : four[3];
        value.at[i] = bits < threshold ? T(0) : value.at[i] * scale;
      }
      T* to = y + row * y_stride + column;
      if constexpr (write == Write::accumulate) value = sum(load<n>(to), value);
      store(to, value);
    }
  });
}

template <class T>
void DropoutKernel<T>::dropout(Matrix<const T> x, const DropoutMask& mask, Matrix<T> y, Write write) {
  expect_shape("dropout", "operand", x, y.rows, y.cols);
  const std::uint32_t threshold = mask.probability > 0 ? mask.threshold() : 0;
  const auto run = [&]<int n>(Width<n>) {
    const dim3 grid = grid_of(ceil_div(y.cols, dropout_block * n), std::min<Extent>(y.rows, 65535));
    const auto kernel =
        write == Write::overwrite ? dropout_kernel<n, Write::overwrite, T> : dropout_kernel<n, Write::accumulate, T>;
    launch(context_.stream(), grid, dropout_block, 0, kernel, mask.stream, threshold, static_cast<T>(mask.scale()),
           y.rows, y.cols, x.data, x.stride, y.data, y.stride);
  };
  with_width<T>(run, x, y, Filled<T>{y.cols});
}

}  // namespace greentrainer::cuda
