#pragma once

#include <algorithm>
#include <type_traits>

#include "greentrainer/backends/eigen/bfloat16_path.hpp"
#include "greentrainer/backends/eigen/operands.hpp"
#include "greentrainer/backends/eigen/thin_product.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/product_precision.hpp"

namespace greentrainer::eigen {

/// Matrix products. Operands are packed into panels: the smaller one in advance, for all threads; of the larger one,
/// each task packs the part that it multiplies, which then stays in its core's cache. Where the right operand is met by
/// a few rows only, as in generation, it is read once as it lies. An element is the sum over k in blocks of one length,
/// each in order: it depends on neither threads nor the other rows and columns asked for. A right operand in a storage
/// format is decoded a chunk at a time as it is packed: the result is that for the decoded matrix, bit for bit. With
/// products in bfloat16, packing rounds both operands.
template <class T>
class ProductKernels {
 public:
  /// `path` matters where `precision` is bf16.
  explicit ProductKernels(Workers& workers, ProductPrecision precision = ProductPrecision::full,
                          BFloat16Path path = best_bfloat16_path())
      : workers_(workers), rounds_(precision == ProductPrecision::bf16 && is_float), path_(path) {}

  /// Of packed operands, for products of any size and as many threads as the machine runs at once: nearly all that the
  /// backend's kernels keep for themselves, but for decoded weights.
  static Bytes most_scratch_bytes() {
    return (most_in_advance + ThreadPool::usual_threads() * most_in_task) * Tile<T>::most_depth *
           static_cast<Bytes>(sizeof(T));
  }

  /// Of chunks of weights in a storage format, decoded by as many threads as the machine runs at once.
  static Bytes most_decoding_bytes() {
    const Extent depth = std::max(Tile<T>::most_depth, Tile<std::conditional_t<is_float, BFloat16Pair, T>>::most_depth);
    return ThreadPool::usual_threads() * decoded_chunk * depth * static_cast<Bytes>(sizeof(T));
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

  /// Rows or columns of the operand that is packed in advance, which stays in the third-level cache; of the one that a
  /// task packs, and of the other one that tasks on end read, in the second. A right panel stays in the first.
  static constexpr Extent most_in_advance = 3840, most_in_task = 256, most_of_other = 1024;

  /// What a task packs in advance, and columns of a stored operand that are decoded at once.
  static constexpr Extent pack_chunk = 128, decoded_chunk = 64;

  /// Up to here, packing the right operand costs more than transposing it once for every thin_rows rows.
  static constexpr Extent thin_limit = 4 * thin_rows;

  /// Factors of a sum.
  struct Depth {
    Extent first, count;
  };

  /// How a product is cut into tasks: `step` of the larger side each, in `steps`, and `other` of the other side.
  struct Cut {
    Extent step, steps, other, tasks;
  };

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
      if (rounds_ && path_ == BFloat16Path::amx) return multiply_packed<AmxPair>(left, right, k, y, write);
      if (rounds_ && thin) return multiply_few_rows(rounded(x), RoundedOperand<Right>{right}, y, write);
      if (rounds_) return multiply_packed<BFloat16Pair>(left, right, k, y, write);
    }
    if (thin) return multiply_few_rows(x, right, y, write);
    multiply_packed<T>(left, right, k, y, write);
  }

  template <class Word>
  static Extent depth_for(Extent k) {
    return round_up(ceil_div(k, ceil_div(k, Tile<Word>::most_depth)), Tile<Word>::k_step);
  }

  template <class Word, class Right>
  void multiply_packed(const DenseOperand<T>& left, const Right& right, Extent k, Matrix<T> y, Write write) {
    const Extent depth = depth_for<Word>(k);
    for (Extent p = 0; p < k; p += depth) {
      const Depth block{p, std::min(depth, k - p)};
      const Write block_write = p == 0 ? write : Write::accumulate;
      if (y.cols <= y.rows) {
        for (Extent j = 0; j < y.cols; j += most_in_advance) {
          const Extent n = std::min(most_in_advance, y.cols - j);
          multiply_rows<Word>(left, right, block, j, {y.data + j, y.rows, n, y.stride}, block_write);
        }
      } else {
        for (Extent i = 0; i < y.rows; i += most_in_advance)
          multiply_columns<Word>(left, right, block, i, y.rows_from(i, std::min(most_in_advance, y.rows - i)),
                                 block_write);
      }
    }
  }

  /// Columns of the product from `column`: y. The right operand is packed in advance.
  template <class Word, class Right>
  void multiply_rows(const DenseOperand<T>& left, const Right& right, Depth k, Extent column, Matrix<T> y,
                     Write write) {
    constexpr Extent cols = Tile<Word>::cols;
    const Extent words = words_for<Word>(k.count);
    Word* const packed = workers_.shared<Word>(round_up(y.cols, cols) * words);
    reserve<Word, Right>(most_in_task, k.count);
    const auto pack = [&](Extent task, int worker) {
      const Extent j = task * pack_chunk, n = std::min(pack_chunk, y.cols - j);
      pack_columns(right, column + j, n, k, packed + j * words, worker);
    };
    for_tasks(ceil_div(y.cols, pack_chunk), y.cols * k.count * 16, pack);
    const Cut cut = cut_for(y.rows, Tile<Word>::rows, y.cols, cols, most_of_other);
    const auto run = [&](Extent task, int worker) {
      const Extent i = task % cut.steps * cut.step, m = std::min(cut.step, y.rows - i);
      const Extent first = task / cut.steps * cut.other, end = std::min(first + cut.other, y.cols);
      Word* const own = workers_.scratch<Word>(worker);
      pack_rows(left, i, m, k, own);
      multiply_panels(m, end - first, words, own, packed + first * words, y.data + i * y.stride + first, y.stride,
                      write);
    };
    for_tasks(cut.tasks, y.size() * k.count, run);
  }

  /// Rows of the product from `row`: y. The left operand is packed in advance.
  template <class Word, class Right>
  void multiply_columns(const DenseOperand<T>& left, const Right& right, Depth k, Extent row, Matrix<T> y,
                        Write write) {
    constexpr Extent rows = Tile<Word>::rows, cols = Tile<Word>::cols, chunk = pack_chunk / rows * rows;
    const Extent words = words_for<Word>(k.count);
    Word* const packed = workers_.shared<Word>(round_up(y.rows, rows) * words);
    const auto pack = [&](Extent task, int) {
      const Extent i = task * chunk;
      pack_rows(left, row + i, std::min(chunk, y.rows - i), k, packed + i * words);
    };
    for_tasks(ceil_div(y.rows, chunk), y.rows * k.count * 16, pack);
    reserve<Word, Right>(most_in_task, k.count);
    const Extent most = Right::needs_room ? y.rows : most_of_other;  // what is decoded is decoded once
    const Cut cut = cut_for(y.cols, cols, y.rows, rows, most);
    const auto run = [&](Extent task, int worker) {
      const Extent j = task % cut.steps * cut.step, n = std::min(cut.step, y.cols - j);
      const Extent i = task / cut.steps * cut.other, m = std::min(cut.other, y.rows - i);
      Word* const own = workers_.scratch<Word>(worker);
      pack_columns(right, j, n, k, own, worker);
      multiply_panels(m, n, words, packed + i * words, own, y.data + i * y.stride + j, y.stride, write);
    };
    for_tasks(cut.tasks, y.size() * k.count, run);
  }

  /// Enough tasks for all threads. The other side is cut where the larger one has not enough panels for that, and into
  /// pieces of at most `most_other`; the larger side's panels are packed for each piece again.
  Cut cut_for(Extent larger, Extent panel, Extent other, Extent other_panel, Extent most_other) const {
    const Extent threads = workers_.size();
    const Extent most = most_in_task / panel * panel, least = round_up(64, panel);
    const Extent step = std::clamp(round_up(ceil_div(larger, 4 * threads), panel), least, most);
    const Extent steps = ceil_div(larger, step);
    const Extent across = std::max(ceil_div(other, most_other), ceil_div(2 * threads, steps));
    const Extent part = round_up(ceil_div(other, across), 4 * other_panel);
    return {step, steps, part, steps * ceil_div(other, part)};
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
    room_begin_ = 0;
    if constexpr (Right::needs_room) workers_.reserve_each<T>(vector_size<T> * depth);
    const auto run = [&](Extent task, int worker) {
      multiply_thin(x, right, depth, task * columns, std::min((task + 1) * columns, y.cols), y, write,
                    room<Right>(worker));
    };
    for_tasks(ceil_div(y.cols, columns), y.cols * x.cols * 4, run);  // it takes as long as reading w does
  }

  template <class Word>
  void pack_rows(const DenseOperand<T>& left, Extent i, Extent m, Depth k, Word* to) {
    const Placed<T> from = left.at(i, m, k.first, k.count, nullptr);
    pack_left(from.data, from.step, from.k_step, m, k.count, to);
  }
  template <class Word, class Right>
  void pack_columns(const Right& right, Extent j, Extent n, Depth k, Word* to, int worker) {
    const Extent chunk = Right::needs_room ? decoded_chunk : n, words = words_for<Word>(k.count);
    for (Extent c = 0; c < n; c += chunk) {
      const Extent count = std::min(chunk, n - c);
      const Placed<T> from = right.at(j + c, count, k.first, k.count, room<Right>(worker));
      pack_right(from.data, from.step, from.k_step, count, k.count, to + c * words);
    }
  }

  /// Every worker's memory: `panels` rows or columns of words, behind which is the room for what is decoded.
  template <class Word, class Right>
  void reserve(Extent panels, Extent depth) {
    room_begin_ = panels * words_for<Word>(depth);
    workers_.reserve_each<T>(room_begin_ + (Right::needs_room ? decoded_chunk * depth : 0));
  }
  template <class Right>
  T* room(int worker) {
    return Right::needs_room ? workers_.scratch<T>(worker) + room_begin_ : nullptr;
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
  BFloat16Path path_;
  Extent room_begin_ = 0;
};

}  // namespace greentrainer::eigen
