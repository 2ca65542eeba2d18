#pragma once

#include <algorithm>
#include <cstring>

#include "greentrainer/backends/eigen/rounding.hpp"
#include "greentrainer/backends/eigen/vectors.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::eigen {

/// The block of a product that stays in registers: `rows` times two vectors. With the two vectors of the right operand
/// and one element of the left one, it fills the 32 registers of AVX-512, or the 16 of the others.
template <class T>
struct Tile {
  static constexpr Extent rows = vector_bytes == 64 ? 12 : vector_bytes == 32 ? 6 : 4;
  static constexpr Extent cols = 2 * vector_size<T>;

  /// Of packed panels: factors of a product's sum that one word holds; the multiple that factors are padded to; and the
  /// most of them, so that a right panel stays in the first-level cache.
  static constexpr Extent factors = 1, k_step = 1, most_depth = 1536 / static_cast<Extent>(sizeof(T));
};

/// Words a row or column that a panel of k factors has.
template <class Word>
constexpr Extent words_for(Extent k) {
  return round_up(k, Tile<Word>::k_step) / Tile<Word>::factors;
}

// Operands of a tile. The right one is always packed: panel (k, cols), element (p, j) at p * cols + j. The left one may
// be
// - packed: element (i, p) at p * rows + i, or
// - the panel of an earlier product, transposed by reading it the other way round: element (i, p) at i * cols + p.
enum class Left { packed, panel };

/// c (rows, cols) = a (rows, k) b (k, cols), or c += that. Sums run over p in order, whatever the rest of the matrix
/// looks like.
template <class T, Left left>
[[gnu::always_inline]] inline void multiply_tile(Extent k, const T* a, const T* b, T* c, Extent c_stride, Write write) {
  constexpr int rows = static_cast<int>(Tile<T>::rows);
  constexpr int vector = vector_size<T>;
  constexpr Extent row_step = left == Left::packed ? 1 : Tile<T>::cols;
  constexpr Extent k_step = left == Left::packed ? Tile<T>::rows : 1;
  Vector<T> sum0[rows], sum1[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) sum0[i] = sum1[i] = Vector<T>{};
  for (Extent p = 0; p < k; ++p, a += k_step, b += Tile<T>::cols) {
    const Vector<T> b0 = load_vector(b), b1 = load_vector(b + vector);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      sum0[i] += a[i * row_step] * b0;
      sum1[i] += a[i * row_step] * b1;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, c += c_stride) {
    if (write == Write::accumulate) {
      sum0[i] += load_vector(c);
      sum1[i] += load_vector(c + vector);
    }
    store_vector(c, sum0[i]);
    store_vector(c + vector, sum1[i]);
  }
}

/// The same at the edge of c, where only (m, n) of the tile exist.
template <class T, Left left, class Word>
void multiply_edge_tile(Extent k, const Word* a, const Word* b, T* c, Extent c_stride, Extent m, Extent n,
                        Write write) {
  T whole[Tile<T>::rows * Tile<T>::cols];
  multiply_tile<T, left>(k, a, b, whole, Tile<T>::cols, Write::overwrite);
  for (Extent i = 0; i < m; ++i) {
    const T* from = whole + i * Tile<T>::cols;
    T* to = c + i * c_stride;
    if (write == Write::accumulate) {
      for (Extent j = 0; j < n; ++j) to[j] += from[j];
    } else {
      for (Extent j = 0; j < n; ++j) to[j] = from[j];
    }
  }
}

/// Has rows of a tile of c, which are written next, fetched meanwhile.
template <class Word, class T>
[[gnu::always_inline]] inline void fetch_tile(const T* c, Extent c_stride, Extent rows) {
  for (Extent r = 0; r < rows; ++r) {
    __builtin_prefetch(c + r * c_stride, 1);
    __builtin_prefetch(c + r * c_stride + Tile<Word>::cols / 2, 1);
  }
}

/// Packs a panel `width` wide and k deep: element (i, p) of the source, at i * step + p * k_step, goes to p * width +
/// i; what is missing of the width is zero. One of the steps is 1. Where it turns what it reads, the panel behind is
/// fetched meanwhile.
template <class T, Extent width>
void pack_panel(const T* from, Extent step, Extent k_step, Extent present, Extent k, T* to) {
  if (step == 1) {
    if (present == width) {
      for (Extent p = 0; p < k; ++p)
        std::memcpy(to + p * width, from + p * k_step, static_cast<std::size_t>(width) * sizeof(T));
    } else {
      for (Extent p = 0; p < k; ++p) {
        std::copy_n(from + p * k_step, present, to + p * width);
        std::fill_n(to + p * width + present, width - present, T(0));
      }
    }
    return;
  }
  constexpr Extent block = vector_size<T>;
  Extent p = 0;
  if (present == width) {
    for (; p + block <= k; p += block) {
      Extent i = 0;
      for (; i + block <= width; i += block)
        store_turned<T, block, width>(from + i * step + p, step, to + p * width + i);
      if constexpr (width % block != 0)
        store_turned<T, width % block, width>(from + i * step + p, step, to + p * width + i);
#pragma GCC unroll 32
      for (Extent ahead = width; ahead < 2 * width; ++ahead) __builtin_prefetch(from + ahead * step + p);
    }
  }
  for (; p < k; ++p) {
    for (Extent i = 0; i < width; ++i) to[p * width + i] = i < present ? from[i * step + p] : T(0);
  }
}

/// Packs an operand, n wide and k deep with element (i, p) at i * step + p * k_step, as panels of `width` one after the
/// other, of T or of other words. It is read in the order in which it lies, as far as that goes.
template <class T, Extent width, class Word>
void pack_panels(const T* from, Extent step, Extent k_step, Extent n, Extent k, Word* to) {
  const Extent block = step == 1 ? 16 : k, words = words_for<Word>(k);
  for (Extent p = 0; p < k; p += block) {
    for (Extent i = 0; i < n; i += width)
      pack_panel<T, width>(from + i * step + p * k_step, step, k_step, std::min(width, n - i), std::min(block, k - p),
                           to + i * words + p / Tile<Word>::factors * width);
  }
}
/// The left operand, (m, k), as panels of Tile::rows.
template <class T, class Word>
void pack_left(const T* from, Extent step, Extent k_step, Extent m, Extent k, Word* to) {
  pack_panels<T, Tile<Word>::rows>(from, step, k_step, m, k, to);
}
/// The right operand, (k, n) with element (p, j) at j * step + p * k_step, as panels of Tile::cols.
template <class T, class Word>
void pack_right(const T* from, Extent step, Extent k_step, Extent n, Extent k, Word* to) {
  pack_panels<T, Tile<Word>::cols>(from, step, k_step, n, k, to);
}

/// c (m, n) = or += left (m, k) right (k, n): n up to Tile::cols, k in words. Panels of the left operand follow each
/// other after `left_step` words.
template <class T, Left left, class Word>
void multiply_panel(Extent m, Extent n, Extent k, const Word* a, Extent left_step, const Word* b, T* c, Extent c_stride,
                    Write write) {
  for (Extent i = 0; i < m; i += Tile<T>::rows, a += left_step, c += Tile<T>::rows * c_stride) {
    const Extent rows = std::min(Tile<T>::rows, m - i);
    fetch_tile<Word>(c + Tile<T>::rows * c_stride, c_stride, std::min(Tile<T>::rows, m - i - Tile<T>::rows));
    if (rows == Tile<T>::rows && n == Tile<T>::cols)
      multiply_tile<T, left>(k, a, b, c, c_stride, write);
    else
      multiply_edge_tile<T, left>(k, a, b, c, c_stride, rows, n, write);
  }
}

/// c (m, n) = or += left (m, k) right (k, n), of packed panels: k in words. A right panel stays in the first-level
/// cache.
template <class T, class Word>
void multiply_panels(Extent m, Extent n, Extent k, const Word* a, const Word* b, T* c, Extent c_stride, Write write) {
  constexpr Extent cols = Tile<Word>::cols;
  for (Extent j = 0; j < n; j += cols)
    multiply_panel<T, Left::packed>(m, std::min(cols, n - j), k, a, Tile<Word>::rows * k, b + j * k, c + j, c_stride,
                                    write);
}

}  // namespace greentrainer::eigen
