#pragma once

#include <algorithm>
#include <cstring>

#include "greentrainer/core/matrix.hpp"

namespace greentrainer::eigen {

// Size of a vector register, and how many there are to keep sums in.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int tile_rows_ = 12;
inline constexpr const char* vector_name = "AVX-512";
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int tile_rows_ = 6;
inline constexpr const char* vector_name = "AVX";
#else
inline constexpr int vector_bytes = 16;
inline constexpr int tile_rows_ = 4;
inline constexpr const char* vector_name = "128-bit vectors";
#endif

/// The block of a product that stays in registers: `rows` times two vectors of `vector` elements.
template <class T>
struct Tile {
  static constexpr Extent rows = tile_rows_;
  static constexpr Extent vector = vector_bytes / static_cast<int>(sizeof(T));
  static constexpr Extent cols = 2 * vector;
  typedef T Vector __attribute__((vector_size(vector_bytes)));
};

// Operands of a tile. The right one is always packed: panel (k, cols), element (p, j) at p * cols + j. The left one may be
// - packed: element (i, p) at p * rows + i, or
// - the panel of an earlier product, transposed by reading it the other way round: element (i, p) at i * cols + p.
enum class Left { packed, panel };

/// c (rows, cols) = a (rows, k) b (k, cols), or c += that. Sums run over p in order, whatever the rest of the matrix looks like.
template <class T, Left left>
[[gnu::always_inline]] inline void multiply_tile(Extent k, const T* a, const T* b, T* c, Extent c_stride, Write write) {
  using Vector = typename Tile<T>::Vector;
  constexpr int rows = static_cast<int>(Tile<T>::rows);
  constexpr Extent lanes_a_vector = Tile<T>::vector;
  constexpr Extent row_step = left == Left::packed ? 1 : Tile<T>::cols;
  constexpr Extent k_step = left == Left::packed ? Tile<T>::rows : 1;
  Vector sum0[rows], sum1[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) sum0[i] = sum1[i] = Vector{};
  for (Extent p = 0; p < k; ++p, a += k_step, b += Tile<T>::cols) {
    Vector b0, b1;
    std::memcpy(&b0, b, sizeof b0);
    std::memcpy(&b1, b + lanes_a_vector, sizeof b1);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      sum0[i] += a[i * row_step] * b0;
      sum1[i] += a[i * row_step] * b1;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, c += c_stride) {
    if (write == Write::accumulate) {
      Vector c0, c1;
      std::memcpy(&c0, c, sizeof c0);
      std::memcpy(&c1, c + lanes_a_vector, sizeof c1);
      sum0[i] += c0;
      sum1[i] += c1;
    }
    std::memcpy(c, &sum0[i], sizeof sum0[i]);
    std::memcpy(c + lanes_a_vector, &sum1[i], sizeof sum1[i]);
  }
}

/// The same at the edge of c, where only (m, n) of the tile exist.
template <class T, Left left>
void multiply_edge_tile(Extent k, const T* a, const T* b, T* c, Extent c_stride, Extent m, Extent n, Write write) {
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

/// Packs a panel `width` wide and k deep: element (i, p) of the source, at i * step + p * k_step, goes to p * width + i; what is missing of the
/// width is zero.
template <class T, Extent width>
void pack_panel(const T* from, Extent step, Extent k_step, Extent present, Extent k, T* to) {
  if (present < width) {
    for (Extent p = 0; p < k; ++p) {
      for (Extent i = 0; i < width; ++i) to[p * width + i] = i < present ? from[i * step + p * k_step] : T(0);
    }
  } else if (step == 1) {
    for (Extent p = 0; p < k; ++p) std::memcpy(to + p * width, from + p * k_step, static_cast<std::size_t>(width) * sizeof(T));
  } else {
    for (Extent p = 0; p < k; ++p) {
      for (Extent i = 0; i < width; ++i) to[p * width + i] = from[i * step + p * k_step];
    }
  }
}

/// Packs the left operand, (m, k) with element (i, p) at i * step + p * k_step, as panels of Tile::rows one after the other.
template <class T>
void pack_left(const T* from, Extent step, Extent k_step, Extent m, Extent k, T* to) {
  for (Extent i = 0; i < m; i += Tile<T>::rows) {
    pack_panel<T, Tile<T>::rows>(from + i * step, step, k_step, std::min(Tile<T>::rows, m - i), k, to + i * k);
  }
}
/// Packs the right operand, (k, n) with element (p, j) at j * step + p * k_step, as panels of Tile::cols one after the other.
template <class T>
void pack_right(const T* from, Extent step, Extent k_step, Extent n, Extent k, T* to) {
  for (Extent j = 0; j < n; j += Tile<T>::cols) {
    pack_panel<T, Tile<T>::cols>(from + j * step, step, k_step, std::min(Tile<T>::cols, n - j), k, to + j * k);
  }
}

/// c (m, n) = or += left (m, k) right (k, n): n up to Tile::cols. Panels of the left operand follow each other after `left_step` elements.
template <class T, Left left>
void multiply_panel(Extent m, Extent n, Extent k, const T* a, Extent left_step, const T* b, T* c, Extent c_stride, Write write) {
  for (Extent i = 0; i < m; i += Tile<T>::rows, a += left_step, c += Tile<T>::rows * c_stride) {
    const Extent rows = std::min(Tile<T>::rows, m - i);
    if (rows == Tile<T>::rows && n == Tile<T>::cols)
      multiply_tile<T, left>(k, a, b, c, c_stride, write);
    else
      multiply_edge_tile<T, left>(k, a, b, c, c_stride, rows, n, write);
  }
}

}  // namespace greentrainer::eigen
