#pragma once

#include <algorithm>
#include <type_traits>

#include "greentrainer/backends/eigen/operands.hpp"
#include "greentrainer/backends/eigen/thin_product.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/product_precision.hpp"

namespace greentrainer::eigen {

/// Matrix products. Both operands are packed once into panels that all threads read; then output tiles, cut by shape
/// alone, are handed out. Where the right operand is met by a few rows only, as in generation, it is read once as it
/// lies. An element is the sum over k in blocks of one length, each in order: it depends on neither threads nor the
/// other rows and columns asked for. A right operand in a storage format is decoded a chunk at a time as it is packed:
/// the result is that for the decoded matrix, bit for bit. With products in bfloat16, packing rounds both operands.
template <class T>
class ProductKernels {
 public:
  explicit ProductKernels(Workers& workers, ProductPrecision precision = ProductPrecision::full)
      : workers_(workers), rounds_(precision == ProductPrecision::bf16 && is_float) {}

  /// Of both packed operands, for products of any size: nearly all that the backend's kernels keep for themselves, but
  /// for decoded weights.
  static constexpr Bytes most_scratch_bytes() {
    return (height_limit + width_limit) * depth_limit<T> * static_cast<Bytes>(sizeof(T));
  }

  /// Of chunks of weights in a storage format, decoded by as many threads as the machine runs at once.
  static Bytes most_decoding_bytes() {
    const Extent depth = std::max(depth_limit<T>, depth_limit<std::conditional_t<is_float, BFloat16Pair, T>>);
    return ThreadPool::usual_threads() * right_chunk * depth * static_cast<Bytes>(sizeof(T));
  }

  void matmul(Matrix<const T> x, Transpose transpose_x, Matrix<const T> z, Transpose transpose_z, Matrix<T> y,
              Write write) {
    // Element (i, p) of the left operand is at i * step + p * k_step; the right one's (p, j) at j * step + p * k_step.
    const bool tz = transpose_z == Transpose::yes;
    const DenseOperand<T> right{{z.data, tz ? z.stride : 1, tz ? 1 : z.stride}};
    multiply(x, transpose_x, z.rows, z.cols, right, transpose_z, y, write);
  }
  void matmul(Matrix<const T> x, Transpose transpose_x, const StoredMatrix& z, Transpose transpose_z, Matrix<T> y,
              Write write) {
    const StoredOperand<T> right{z, transpose_z == Transpose::no};
    multiply(x, transpose_x, z.rows, z.cols, right, transpose_z, y, write);
  }

 private:
  static constexpr bool is_float = std::is_same_v<T, float>;

  // A right panel of `depth` stays in the first-level cache, a task's left panels in the second, both operands' blocks
  // in the third.
  template <class Word>
  static constexpr Extent depth_limit = 1536 / static_cast<Extent>(sizeof(Word)) * factors_a_word<Word>;
  static constexpr Extent height_limit = 240 * 16;
  static constexpr Extent width_limit = 4096;

  /// Up to here, packing the right operand costs more than transposing it once for every thin_rows rows.
  static constexpr Extent thin_limit = 4 * thin_rows;

  /// What a task packs.
  static constexpr Extent left_chunk = 10 * Tile<T>::rows, right_chunk = 4 * Tile<T>::cols;

  template <class Right>
  void multiply(Matrix<const T> x, Transpose transpose_x, Extent z_rows, Extent z_cols, const Right& right,
                Transpose transpose_z, Matrix<T> y, Write write) {
    const bool tx = transpose_x == Transpose::yes, tz = transpose_z == Transpose::yes;
    const Extent k = tx ? x.rows : x.cols;
    expect_shape("matmul", "left operand", x, tx ? k : y.rows, tx ? y.rows : k);
    expect_shape("matmul", "right operand", Matrix<const T>(nullptr, z_rows, z_cols), tz ? y.cols : k, tz ? k : y.cols);
    if (y.size() == 0) return;
    if (k == 0) {
      if (write == Write::overwrite) clear(y);
      return;
    }
    const bool thin = !tx && tz && y.rows <= thin_limit;
    const DenseOperand<T> left{{x.data, tx ? 1 : x.stride, tx ? x.stride : 1}};
    if constexpr (is_float) {
      if (rounds_ && thin) return multiply_few_rows(rounded(x), RoundedOperand<Right>{right}, y, write);
      if (rounds_) return multiply_packed<BFloat16Pair>(left, right, k, y, write);
    }
    if (thin) return multiply_few_rows(x, right, y, write);
    multiply_packed<T>(left, right, k, y, write);
  }

  template <class Word>
  static Extent depth_for(Extent k) {
    return round_up(ceil_div(k, ceil_div(k, depth_limit<Word>)), factors_a_word<Word>);
  }

  template <class Word, class Right>
  void multiply_packed(const DenseOperand<T>& left, const Right& right, Extent k, Matrix<T> y, Write write) {
    const Extent depth = depth_for<Word>(k);
    const Extent height = std::min(round_up(y.rows, Tile<T>::rows), height_limit);
    const Extent width = std::min(round_up(y.cols, Tile<T>::cols), width_limit);
    if constexpr (Right::needs_room) workers_.reserve_each<T>(right_chunk * depth);
    Word* packed_left = workers_.shared<Word>((height + width) * words_for<Word>(depth));
    Word* packed_right = packed_left + height * words_for<Word>(depth);
    for (Extent j = 0; j < y.cols; j += width) {
      const Extent n = std::min(width, y.cols - j);
      for (Extent p = 0; p < k; p += depth) {
        const Extent d = std::min(depth, k - p);
        const Write block_write = p == 0 ? write : Write::accumulate;
        for (Extent i = 0; i < y.rows; i += height) {
          const Extent m = std::min(height, y.rows - i);
          const Matrix<T> block{y.data + i * y.stride + j, m, n, y.stride};
          pack(left, i, m, packed_left, right, j, i == 0 ? n : 0, packed_right, p, d);
          multiply_blocks(packed_left, packed_right, words_for<Word>(d), block, block_write);
        }
      }
    }
  }

  /// x rounded to bfloat16, in memory that lasts until the next kernel.
  Matrix<const float> rounded(Matrix<const float> x) {
    float* copy = workers_.shared<float>(x.size());
    for (Extent r = 0; r < x.rows; ++r) round_to_bfloat16(x.data + r * x.stride, x.cols, copy + r * x.cols);
    return {copy, x.rows, x.cols};
  }

  template <class Right>
  void multiply_few_rows(Matrix<const T> x, const Right& right, Matrix<T> y, Write write) {
    constexpr Extent columns = 4 * Tile<T>::cols;
    const Extent depth = depth_for<std::conditional_t<Right::in_pairs, BFloat16Pair, T>>(x.cols);
    if constexpr (Right::needs_room) workers_.reserve_each<T>(vector_size<T> * depth);
    const auto run = [&](Extent task, int worker) {
      multiply_thin(x, right, depth, task * columns, std::min((task + 1) * columns, y.cols), y, write,
                    room<Right>(worker));
    };
    for_tasks(ceil_div(y.cols, columns), y.cols * x.cols * 4, run);  // it takes as long as reading w does
  }

  template <class Word, class Right>
  void pack(const DenseOperand<T>& left, Extent i, Extent m, Word* packed_left, const Right& right, Extent j, Extent n,
            Word* packed_right, Extent p, Extent depth) {
    const Extent left_tasks = ceil_div(m, left_chunk);
    const auto run = [&](Extent task, int worker) {
      if (task < left_tasks) {
        const Extent first = task * left_chunk, count = std::min(left_chunk, m - first);
        const Placed<T> from = left.at(i + first, count, p, depth, nullptr);
        pack_left(from.data, from.step, from.k_step, count, depth, packed_left + first * words_for<Word>(depth));
      } else {
        const Extent first = (task - left_tasks) * right_chunk, count = std::min(right_chunk, n - first);
        const Placed<T> from = right.at(j + first, count, p, depth, room<Right>(worker));
        pack_right(from.data, from.step, from.k_step, count, depth, packed_right + first * words_for<Word>(depth));
      }
    };
    for_tasks(left_tasks + ceil_div(n, right_chunk), (m + n) * depth * 16, run);
  }

  template <class Right>
  T* room(int worker) {
    return Right::needs_room ? workers_.scratch<T>(worker) : nullptr;
  }

  template <class Word>
  void multiply_blocks(const Word* packed_left, const Word* packed_right, Extent depth, Matrix<T> y, Write write) {
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
  bool rounds_;  ///< factors, to bfloat16
};

}  // namespace greentrainer::eigen
