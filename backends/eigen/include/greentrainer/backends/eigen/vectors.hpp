#pragma once

#include <cstring>
#include <utility>

#include "greentrainer/core/types.hpp"

namespace greentrainer::eigen {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr const char* vector_name = "AVX-512";
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr const char* vector_name = "AVX";
#else
inline constexpr int vector_bytes = 16;
inline constexpr const char* vector_name = "128-bit vectors";
#endif

/// A register full of T, as GCC and Clang know vectors: with + and *, from which they make multiply-adds.
template <class T>
struct VectorOf {
  // NOLINTNEXTLINE(modernize-use-using): GCC overlooks the attribute of a dependent type in a using
  typedef T Type __attribute__((vector_size(vector_bytes)));
};
template <class T>
using Vector = typename VectorOf<T>::Type;
template <class T>
inline constexpr int vector_size = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
[[gnu::always_inline]] inline Vector<T> load_vector(const T* from) {
  Vector<T> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
template <class T>
[[gnu::always_inline]] inline void store_vector(T* to, Vector<T> x) {
  std::memcpy(to, &x, sizeof x);
}

/// Swaps the off-diagonal quarters of each 2s x 2s block that rows a and b = a + s are part of.
template <class T, int s, int... lane>
[[gnu::always_inline]] inline void swap_quarters(Vector<T>& a, Vector<T>& b, std::integer_sequence<int, lane...>) {
  constexpr int n = sizeof...(lane);
  const Vector<T> low = __builtin_shufflevector(a, b, ((lane & s) == 0 ? lane : n + lane - s)...);
  b = __builtin_shufflevector(a, b, ((lane & s) == 0 ? lane + s : n + lane)...);
  a = low;
}

/// Transposes as many vectors as a vector has elements, quarter by quarter.
template <class T, int s = vector_size<T> / 2>
[[gnu::always_inline]] inline void transpose(Vector<T>* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < vector_size<T>; ++i) {
    if ((i & s) == 0) swap_quarters<T, s>(rows[i], rows[i + s], std::make_integer_sequence<int, vector_size<T>>{});
  }
  if constexpr (s > 1) transpose<T, s / 2>(rows);
}

/// to[p * width + i] = from[i * step + p] for i < count <= a vector's size, p < a vector's size.
template <class T, Extent count, Extent width>
inline void store_turned(const T* from, Extent step, T* to) {
  Vector<T> rows[vector_size<T>] = {};
#pragma GCC unroll 16
  for (int i = 0; i < static_cast<int>(count); ++i) rows[i] = load_vector(from + i * step);
  transpose<T>(rows);
#pragma GCC unroll 16
  for (int p = 0; p < vector_size<T>; ++p)
    std::memcpy(to + p * width, &rows[p], static_cast<std::size_t>(count) * sizeof(T));
}

}  // namespace greentrainer::eigen
