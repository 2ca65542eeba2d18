#pragma once

#include <algorithm>

#include "greentrainer/backends/eigen/vectors.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::eigen {

/// Rows of the left operand that are worked on at once: their sums share the registers with the block of the right
/// operand that is being transposed.
inline constexpr int thin_rows = vector_bytes == 64 ? 8 : 4;

/// c (m, columns) = or += x (m, k) w^T for a vector's size of rows of w, of which `columns` exist. Each block of w is
/// read once, transposed in registers and used for all rows of x; the same rows further down, `ahead` elements on, are
/// fetched meanwhile. Sums run over p in order, or in_pairs with the second of two first, as bfloat16 pairs are summed.
template <class T, int m, bool in_pairs>
[[gnu::always_inline]] inline void multiply_thin_block(Extent k, const T* x, Extent x_stride, const T* w,
                                                       Extent w_stride, Extent columns, Extent ahead, T* c,
                                                       Extent c_stride, Write write) {
  constexpr int size = vector_size<T>;
  Vector<T> sum[m] = {};
  const auto row = [&](int j) {
    return w + std::min<Extent>(j, columns - 1) * w_stride;
  };  // what is missing repeats the last
  Extent p = 0;
  for (; p + size <= k; p += size) {
    Vector<T> block[size];
    if (columns == size) {
#pragma GCC unroll 16
      for (int j = 0; j < size; ++j) {
        block[j] = load_vector(w + j * w_stride + p);
        __builtin_prefetch(w + j * w_stride + p + ahead);
      }
    } else {
      for (int j = 0; j < size; ++j) block[j] = load_vector(row(j) + p);
    }
    transpose<T>(block);
#pragma GCC unroll 16
    for (int step = 0; step < size; ++step) {
      const int q = in_pairs ? step ^ 1 : step;
#pragma GCC unroll 16
      for (int i = 0; i < m; ++i) sum[i] += x[i * x_stride + p + q] * block[q];
    }
  }
  const Extent whole_pairs = k / 2 * 2;
  for (; p < k; ++p) {
    const Extent q = in_pairs && p < whole_pairs ? p ^ 1 : p;
    T column[size];
    for (int j = 0; j < size; ++j) column[j] = row(j)[q];
    for (int i = 0; i < m; ++i) sum[i] += x[i * x_stride + q] * load_vector(column);
  }
  for (int i = 0; i < m; ++i, c += c_stride) {
    T values[size];
    store_vector(values, sum[i]);
    for (Extent j = 0; j < columns; ++j) c[j] = write == Write::accumulate ? values[j] + c[j] : values[j];
  }
}

/// The same for up to thin_rows rows of x.
template <class T, bool in_pairs, int m = thin_rows>
void multiply_thin_rows(Extent rows, Extent k, const T* x, Extent x_stride, const T* w, Extent w_stride, Extent columns,
                        Extent ahead, T* c, Extent c_stride, Write write) {
  if constexpr (m > 1) {
    if (rows < m)
      return multiply_thin_rows<T, in_pairs, m - 1>(rows, k, x, x_stride, w, w_stride, columns, ahead, c, c_stride,
                                                    write);
  }
  multiply_thin_block<T, m, in_pairs>(k, x, x_stride, w, w_stride, columns, ahead, c, c_stride, write);
}

/// Columns [first, end) of y = or += x w^T, for few rows: nothing is packed, since w is met once. `w` says where some
/// rows' elements are (`at`, see ProductKernels), or puts them in `room`, for a vector's size of rows of `depth`
/// elements. Sums run over blocks of `depth`, each in order.
template <class T, class Operand>
void multiply_thin(Matrix<const T> x, const Operand& w, Extent depth, Extent first, Extent end, Matrix<T> y,
                   Write write, T* room) {
  constexpr Extent size = vector_size<T>;
  for (Extent j = first; j < end; j += size) {
    const Extent columns = std::min(size, end - j);
    for (Extent p = 0; p < x.cols; p += depth) {
      const Write block_write = p == 0 ? write : Write::accumulate;
      const Extent d = std::min(depth, x.cols - p);
      const auto block = w.at(j, columns, p, d, room);
      const Extent ahead = !Operand::needs_room && j + 2 * size <= y.cols ? size * block.step : 0;
      for (Extent i = 0; i < y.rows; i += thin_rows) {
        const Extent rows = std::min<Extent>(thin_rows, y.rows - i);
        multiply_thin_rows<T, Operand::in_pairs>(rows, d, x.data + i * x.stride + p, x.stride, block.data, block.step,
                                                 columns, i == 0 ? ahead : 0, y.data + i * y.stride + j, y.stride,
                                                 block_write);
      }
    }
  }
}

/// c (m, columns) = x (m, k) z for a vector's size of columns of z, (k, ...), of which `columns` exist.
template <class T, int m>
[[gnu::always_inline]] inline void multiply_thin_columns(Extent k, const T* x, Extent x_stride, const T* z,
                                                         Extent z_stride, Extent columns, T* c, Extent c_stride) {
  constexpr Extent size = vector_size<T>;
  Vector<T> sum[m] = {};
  T part[size] = {};
  for (Extent p = 0; p < k; ++p) {
    if (columns < size) std::copy_n(z + p * z_stride, columns, part);
    const Vector<T> row = load_vector(columns < size ? part : z + p * z_stride);
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i) sum[i] += x[i * x_stride + p] * row;
  }
  for (int i = 0; i < m; ++i) {
    store_vector(part, sum[i]);
    std::copy_n(part, columns, c + i * c_stride);
  }
}

/// y = x z for few rows, with z as it lies.
template <class T, int m = thin_rows>
void multiply_thin(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
  if constexpr (m > 1) {
    if (y.rows < m) return multiply_thin<T, m - 1>(x, z, y);
  }
  constexpr Extent size = vector_size<T>;
  for (Extent j = 0; j < y.cols; j += size) {
    multiply_thin_columns<T, m>(z.rows, x.data, x.stride, z.data + j, z.stride, std::min(size, y.cols - j), y.data + j,
                                y.stride);
  }
  if (y.rows > m) multiply_thin<T>(x.rows_from(m, y.rows - m), z, y.rows_from(m, y.rows - m));
}

}  // namespace greentrainer::eigen
