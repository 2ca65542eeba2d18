#pragma once

#include <algorithm>
#include <string_view>
#include <type_traits>

#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

inline constexpr int map_block = 256;

/// How many operands F takes.
template <class F, class T>
inline constexpr int arity = std::is_invocable_v<F, T, T, T> ? 3
                             : std::is_invocable_v<F, T, T>  ? 2
                                                             : 1;

template <class F, class T>
__device__ T apply(F f, T a, T b, T c) {
  if constexpr (arity<F, T> == 3) {
    return f(a, b, c);
  } else if constexpr (arity<F, T> == 2) {
    return f(a, b);
  } else {
    return f(a);
  }
}

/// y = f(a, b, c), element by element; operands that f does not take are not read. A thread reads its elements before
/// it writes them, so y may be one of the operands. A stride of 0 repeats a row. Blocks: x along the columns, y along
/// the rows.
template <int N, class F, class T>
__global__ void __launch_bounds__(map_block, blocks_with<map_block, 128>)
    map_kernel(F f, Extent rows, Extent cols, T* y, Extent y_stride, const T* a, Extent a_stride, const T* b,
               Extent b_stride, const T* c, Extent c_stride) {
  constexpr int operands = arity<F, T>;
  for_own_elements<N, map_block>(cols, [=]<int n>(Extent column, Width<n>) {
    for (Extent row = blockIdx.y; row < rows; row += gridDim.y) {
      Vector<T, n> first = load<n>(a + row * a_stride + column), second = {}, third = {};
      if constexpr (operands > 1) second = load<n>(b + row * b_stride + column);
      if constexpr (operands > 2) third = load<n>(c + row * c_stride + column);
#pragma unroll
      for (int i = 0; i < n; ++i) first.at[i] = apply(f, first.at[i], second.at[i], third.at[i]);
      store(y + row * y_stride + column, first);
    }
  });
}

/// Starts map_kernel. Matrices without gaps between rows are one long row.
template <class F, class T>
void map_rows(Stream stream, F f, Matrix<T> y, Matrix<const T> a, Matrix<const T> b = {}, Matrix<const T> c = {}) {
  const auto has_gaps = [cols = y.cols](const auto& m) { return m && m.stride != cols; };
  if (y.size() > 0 && !has_gaps(y) && !has_gaps(a) && !has_gaps(b) && !has_gaps(c)) y = {y.data, 1, y.size()};
  const auto like_y = [&](const auto& m) { return Matrix<const T>(m.data, y.rows, y.cols, m.stride); };
  const auto run = [&]<int n>(Width<n>) {
    const dim3 grid = grid_of(ceil_div(y.cols, map_block * n), std::min<Extent>(y.rows, 65535));
    launch(stream, grid, map_block, 0, map_kernel<n, F, T>, f, y.rows, y.cols, y.data, y.stride, a.data, a.stride,
           b.data, b.stride, c.data, c.stride);
  };
  with_width<T>(run, like_y(y), like_y(a), like_y(b), like_y(c));
}

/// The same for operands of y's shape. Throws ShapeError for others.
template <class F, class T, class... Operands>
void map(Stream stream, std::string_view kernel, F f, Matrix<T> y, const Operands&... operands) {
  (expect_shape(kernel, "operand", operands, y.rows, y.cols), ...);
  map_rows<F, T>(stream, f, y, operands...);
}

}  // namespace greentrainer::cuda
