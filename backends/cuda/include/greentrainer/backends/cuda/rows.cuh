#pragma once

#include "greentrainer/backends/cuda/reductions.cuh"
#include "greentrainer/backends/cuda/row_kernels.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

inline constexpr int row_block = 128;

/// y[r] = x[index[r]]. One block a row.
template <int N, class T>
__global__ void __launch_bounds__(row_block, blocks_with<row_block, 64>)
    gather_rows_kernel(Extent cols, const T* __restrict__ x, Extent x_stride, const Index* __restrict__ index,
                       T* __restrict__ y, Extent y_stride) {
  const T* from = x + index[blockIdx.x] * x_stride;
  T* to = y + blockIdx.x * y_stride;
  for_own_columns<N, row_block>(cols, [=]<int n>(Extent c, Width<n>) { store(to + c, load<n>(from + c)); });
}

/// y[index[r]] = x[r], or += x[r], for row numbers that are met once. One block a row.
template <int N, Write write, class T>
__global__ void __launch_bounds__(row_block, blocks_with<row_block, 64>)
    scatter_rows_kernel(Extent cols, const T* __restrict__ x, Extent x_stride, const Index* __restrict__ index,
                        T* __restrict__ y, Extent y_stride) {
  const T* from = x + blockIdx.x * x_stride;
  T* to = y + index[blockIdx.x] * y_stride;
  for_own_columns<N, row_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> value = load<n>(from + c);
    if constexpr (write == Write::accumulate) value = sum(load<n>(to + c), value);
    store(to + c, value);
  });
}

/// Chains the rows that have the same number: next[r] is the row after r with r's number, or `rows`; earlier[r] counts
/// those before r. One warp a row.
template <class I>
__global__ void __launch_bounds__(row_block, blocks_with<row_block, 64>)
    chain_rows_kernel(I rows, const I* index, I* next, I* earlier) {
  const I warp = static_cast<I>(blockIdx.x * (row_block / warp_size) + threadIdx.x / warp_size);
  const I lane = static_cast<I>(threadIdx.x % warp_size);
  const I row = warp < rows ? warp : rows - 1;  // a warp too many does the last row again
  const I number = index[row];
  I before = 0, after = rows;
  for (I r = lane; r < rows; r += warp_size) {
    if (index[r] != number) continue;
    if (r < row) ++before;
    if (r > row && r < after) after = r;
  }
  before = warp_sum(before);
  after = warp_min(after);
  if (lane == 0 && warp < rows) {
    next[row] = after;
    earlier[row] = before;
  }
}

/// y[index[r]] += x[r], then x[next[r]] and so on, for the first row of every chain. One block a row.
template <int N, class T>
__global__ void __launch_bounds__(row_block, blocks_with<row_block, 64>)
    add_chained_rows_kernel(Index rows, Extent cols, const T* x, Extent x_stride, const Index* index, const Index* next,
                            const Index* earlier, T* y, Extent y_stride) {
  const Index row = static_cast<Index>(blockIdx.x);
  if (earlier[row] > 0) return;
  T* to = y + index[row] * y_stride;
  for_own_columns<N, row_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> value = load<n>(to + c);
    for (Index r = row; r < rows; r = next[r]) value = sum(value, load<n>(x + r * x_stride + c));
    store(to + c, value);
  });
}

template <class T>
void RowKernels<T>::embedding_forward(Matrix<const T> table, const Index* index, Matrix<T> y) {
  gather_rows(table, index, y);
}
template <class T>
void RowKernels<T>::gather_rows(Matrix<const T> x, const Index* index, Matrix<T> y) {
  expect_shape("gather_rows", "source", x, x.rows, y.cols);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(y.rows), row_block, 0, gather_rows_kernel<n, T>, y.cols, x.data, x.stride, index,
           y.data, y.stride);
  };
  with_width<T>(run, x, y);
}

/// Rows with the same number are added by one block, in order, so that nothing depends on which block comes first.
template <class T>
void RowKernels<T>::embedding_grad_weight(Matrix<const T> grad_output, const Index* index, Matrix<T> grad_table) {
  const Matrix<const T>& x = grad_output;
  expect_shape("embedding_grad_weight", "gradient", x, x.rows, grad_table.cols);
  if (x.rows == 0) return;
  const Index rows = static_cast<Index>(x.rows);
  Scratch<Index> next(context_, rows), earlier(context_, rows);
  launch(context_.stream(), grid_of(ceil_div(rows, row_block / warp_size)), row_block, 0, chain_rows_kernel<Index>,
         rows, index, next.data(), earlier.data());
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(rows), row_block, 0, add_chained_rows_kernel<n, T>, rows, x.cols, x.data,
           x.stride, index, next.data(), earlier.data(), grad_table.data, grad_table.stride);
  };
  with_width<T>(run, x, grad_table);
}

template <class T>
void RowKernels<T>::scatter_rows(Matrix<const T> x, const Index* index, Matrix<T> y, Write write) {
  expect_shape("scatter_rows", "source", x, x.rows, y.cols);
  constexpr Bytes element = sizeof(T);
  if (write == Write::overwrite) context_.zero_rows(y.data, y.stride * element, y.cols * element, y.rows);
  const auto run = [&]<int n>(Width<n>) {
    const auto kernel = write == Write::overwrite ? scatter_rows_kernel<n, Write::overwrite, T>
                                                  : scatter_rows_kernel<n, Write::accumulate, T>;
    launch(context_.stream(), grid_of(x.rows), row_block, 0, kernel, x.cols, x.data, x.stride, index, y.data, y.stride);
  };
  with_width<T>(run, x, y);
}

}  // namespace greentrainer::cuda
