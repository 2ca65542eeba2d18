#pragma once

#include <algorithm>

#include "greentrainer/backends/eigen/micro_kernel.hpp"
#include "greentrainer/backends/eigen/thin_product.hpp"
#include "greentrainer/backends/eigen/workers.hpp"

namespace greentrainer::eigen {

/// Matrix products. Both operands are packed once into panels that all threads read; then output tiles, cut by shape
/// alone, are handed out. Where the right operand is met by a few rows only, as in generation, it is read once as it
/// lies. An element is the sum over k in blocks of one length, each in order: it depends on neither threads nor the
/// other rows and columns asked for.
template <class T>
class ProductKernels {
 public:
  explicit ProductKernels(Workers& workers) : workers_(workers) {}

  /// Of both packed operands, for products of any size: nearly all that the backend's kernels keep for themselves.
  static constexpr Bytes most_scratch_bytes() {
    return (height_limit + width_limit) * depth_limit * static_cast<Bytes>(sizeof(T));
  }

  void matmul(Matrix<const T> x, Transpose transpose_x, Matrix<const T> z, Transpose transpose_z, Matrix<T> y,
              Write write) {
    const bool tx = transpose_x == Transpose::yes, tz = transpose_z == Transpose::yes;
    const Extent k = tx ? x.rows : x.cols;
    expect_shape("matmul", "left operand", x, tx ? k : y.rows, tx ? y.rows : k);
    expect_shape("matmul", "right operand", z, tz ? y.cols : k, tz ? k : y.cols);
    if (y.size() == 0) return;
    if (k == 0) {
      if (write == Write::overwrite) clear(y);
      return;
    }
    // Element (i, p) of the left operand is at i * step + p * k_step; the right one's (p, j) at j * step + p * k_step.
    const Operand left{x.data, tx ? 1 : x.stride, tx ? x.stride : 1};
    const Operand right{z.data, tz ? z.stride : 1, tz ? 1 : z.stride};
    const Extent depth = ceil_div(k, ceil_div(k, depth_limit));
    if (!tx && tz && y.rows <= thin_limit) return multiply_few_rows(x, z, depth, y, write);
    const Extent height = std::min(round_up(y.rows, Tile<T>::rows), height_limit);
    const Extent width = std::min(round_up(y.cols, Tile<T>::cols), width_limit);
    T* packed_left = workers_.shared<T>((height + width) * depth);
    T* packed_right = packed_left + height * depth;
    for (Extent j = 0; j < y.cols; j += width) {
      const Extent n = std::min(width, y.cols - j);
      for (Extent p = 0; p < k; p += depth) {
        const Extent d = std::min(depth, k - p);
        const Write block_write = p == 0 ? write : Write::accumulate;
        for (Extent i = 0; i < y.rows; i += height) {
          const Extent m = std::min(height, y.rows - i);
          const Matrix<T> block{y.data + i * y.stride + j, m, n, y.stride};
          pack(left.from(i, p), m, packed_left, right.from(j, p), i == 0 ? n : 0, packed_right, d);
          multiply(packed_left, packed_right, d, block, block_write);
        }
      }
    }
  }

 private:
  struct Operand {
    const T* data;
    Extent step, k_step;
    Operand from(Extent i, Extent p) const { return {data + i * step + p * k_step, step, k_step}; }
  };

  // A right panel of `depth` stays in the first-level cache, a task's left panels in the second, both operands' blocks
  // in the third.
  static constexpr Extent depth_limit = 1536 / static_cast<Extent>(sizeof(T));
  static constexpr Extent height_limit = 240 * 16;
  static constexpr Extent width_limit = 4096;

  /// Up to here, packing the right operand costs more than transposing it once for every thin_rows rows.
  static constexpr Extent thin_limit = 4 * thin_rows;

  void multiply_few_rows(Matrix<const T> x, Matrix<const T> w, Extent depth, Matrix<T> y, Write write) {
    constexpr Extent columns = 4 * Tile<T>::cols;
    const auto run = [=](Extent task, int) {
      multiply_thin(x, w, depth, task * columns, std::min((task + 1) * columns, y.cols), y, write);
    };
    for_tasks(ceil_div(y.cols, columns), y.cols * x.cols * 4, run);  // it takes as long as reading w does
  }

  void pack(Operand left, Extent m, T* packed_left, Operand right, Extent n, T* packed_right, Extent depth) {
    const Extent left_chunk = 10 * Tile<T>::rows, right_chunk = 4 * Tile<T>::cols;
    const Extent left_tasks = ceil_div(m, left_chunk);
    const auto run = [=](Extent task, int) {
      if (task < left_tasks) {
        const Extent i = task * left_chunk;
        pack_left(left.from(i, 0).data, left.step, left.k_step, std::min(left_chunk, m - i), depth,
                  packed_left + i * depth);
      } else {
        const Extent j = (task - left_tasks) * right_chunk;
        pack_right(right.from(j, 0).data, right.step, right.k_step, std::min(right_chunk, n - j), depth,
                   packed_right + j * depth);
      }
    };
    for_tasks(left_tasks + ceil_div(n, right_chunk), (m + n) * depth * 16, run);
  }

  void multiply(const T* packed_left, const T* packed_right, Extent depth, Matrix<T> y, Write write) {
    Extent tile_rows = 20 * Tile<T>::rows, tile_cols = 8 * Tile<T>::cols;
    while (tile_cols > 2 * Tile<T>::cols && ceil_div(y.rows, tile_rows) * ceil_div(y.cols, tile_cols) < 32)
      tile_cols /= 2;
    const Extent across = ceil_div(y.cols, tile_cols);
    const auto run = [=](Extent task, int) {
      const Extent i = task / across * tile_rows, first = task % across * tile_cols;
      const Extent m = std::min(tile_rows, y.rows - i), end = std::min(first + tile_cols, y.cols);
      for (Extent j = first; j < end; j += Tile<T>::cols) {
        multiply_panel<T, Left::packed>(m, std::min(Tile<T>::cols, end - j), depth, packed_left + i * depth,
                                        Tile<T>::rows * depth, packed_right + j * depth, y.data + i * y.stride + j,
                                        y.stride, write);
      }
    };
    for_tasks(across * ceil_div(y.rows, tile_rows), y.size() * depth, run);
  }

  /// Small products are not worth waking a thread for.
  template <class Run>
  void for_tasks(Extent tasks, Extent work, const Run& run) {
    if (work < (Extent{1} << 20)) {
      for (Extent task = 0; task < tasks; ++task) run(task, 0);
    } else {
      workers_.parallel_for(tasks, run);
    }
  }

  void clear(Matrix<T> y) {
    for (Extent r = 0; r < y.rows; ++r) std::fill_n(y.data + r * y.stride, y.cols, T(0));
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
