#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "greentrainer/backends/eigen/micro_kernel.hpp"
#include "greentrainer/core/dtype.hpp"

namespace greentrainer::eigen {

/// Two factors of a product, for p = 2q and 2q + 1, rounded to bfloat16: the first in the lower half. Panels of such
/// pairs have the layout of panels of floats, which are as large.
struct BFloat16Pair {
  std::uint32_t bits;
};
template <>
struct Tile<BFloat16Pair> : Tile<float> {
  static constexpr Extent factors = 2, k_step = 2, most_depth = 2 * Tile<float>::most_depth;
};

#if defined(__AVX512BF16__)
/// Multiplies pairs in hardware: two multiply-adds an element and instruction. Denormal factors and sums become zero.
inline constexpr const char* bfloat16_vectors = "AVX512-BF16";
#else
/// Widens factors to float again: the same order of sums; without fused multiply-adds products are rounded, too.
inline constexpr const char* bfloat16_vectors = "widened";
#endif

typedef std::uint32_t BitVector __attribute__((vector_size(vector_bytes)));

/// A number of bfloat16 in the upper half of each element: rounded to nearest, ties to even; a NaN stays a NaN.
[[gnu::always_inline]] inline BitVector rounded_bits(Vector<float> x) {
  BitVector bits;
  std::memcpy(&bits, &x, sizeof bits);
  const BitVector nan = (bits & 0x7fffffffU) > 0x7f800000U ? BitVector{} + 0x00400000U : BitVector{};
  const BitVector add = nan != 0U ? BitVector{} : 0x7fffU + ((bits >> 16) & 1U);
  return ((bits + add) | nan) & 0xffff0000U;
}
inline std::uint32_t rounded_bits(float x) { return static_cast<std::uint32_t>(float_to_bfloat16(x)) << 16; }
/// The bits of a pair.
inline std::uint32_t pair_of(float first, float second) { return (rounded_bits(first) >> 16) | rounded_bits(second); }

/// y[i] = x[i] rounded to bfloat16.
inline void round_to_bfloat16(const float* x, Extent n, float* y) {
  Extent i = 0;
  for (; i + vector_size<float> <= n; i += vector_size<float>) {
    const BitVector bits = rounded_bits(load_vector(x + i));
    std::memcpy(y + i, &bits, sizeof bits);
  }
  for (; i < n; ++i) y[i] = std::bit_cast<float>(rounded_bits(x[i]));
}

#if defined(__AVX512BF16__)
/// The elements of `first`, then those of `second`, rounded: denormal numbers become zero, which products make of them
/// anyway.
[[gnu::always_inline]] inline BitVector rounded_halves(Vector<float> first, Vector<float> second) {
  return std::bit_cast<BitVector>(_mm512_cvtne2ps_pbh(std::bit_cast<__m512>(second), std::bit_cast<__m512>(first)));
}
#endif

/// Pairs of first[i] and second[i], which products are made of.
[[gnu::always_inline]] inline BitVector pairs_of(Vector<float> first, Vector<float> second) {
#if defined(__AVX512BF16__)
  constexpr auto turn = []<int... lane>(std::integer_sequence<int, lane...>) {
    typedef short Shorts __attribute__((vector_size(vector_bytes)));
    return Shorts{static_cast<short>(lane / 2 + lane % 2 * vector_size<float>)...};
  }
  (std::make_integer_sequence<int, 2 * vector_size<float>>{});
  return std::bit_cast<BitVector>(
      _mm512_permutexvar_epi16(std::bit_cast<__m512i>(turn), std::bit_cast<__m512i>(rounded_halves(first, second))));
#else
  return (rounded_bits(first) >> 16) | rounded_bits(second);
#endif
}

/// Pairs of a vector's even elements and those behind them: of `low`, then of `high`.
template <int... lane>
[[gnu::always_inline]] inline BitVector pairs_of_neighbours(Vector<float> low, Vector<float> high,
                                                            std::integer_sequence<int, lane...> /*lanes*/) {
#if defined(__AVX512BF16__)
  return rounded_halves(low, high);
#else
  const Vector<float> first = __builtin_shufflevector(low, high, (2 * lane)...);
  return pairs_of(first, __builtin_shufflevector(low, high, (2 * lane + 1)...));
#endif
}

/// pairs[i] = that of x[2 i] and x[2 i + 1] for n pairs, a multiple of a vector's size.
[[gnu::always_inline]] inline void pair_neighbours(const float* x, Extent n, void* pairs) {
  constexpr Extent vector = vector_size<float>;
  for (Extent q = 0; q < n; q += vector) {
    const BitVector both = pairs_of_neighbours(load_vector(x + 2 * q), load_vector(x + 2 * q + vector),
                                               std::make_integer_sequence<int, vector_size<float>>{});
    std::memcpy(static_cast<std::uint32_t*>(pairs) + q, &both, sizeof both);
  }
}

/// multiply_tile for pairs: k counts them.
template <class T, Left left>
[[gnu::always_inline]] inline void multiply_tile(Extent k, const BFloat16Pair* a, const BFloat16Pair* b, float* c,
                                                 Extent c_stride, Write write) {
  static_assert(left == Left::packed);
  constexpr int rows = static_cast<int>(Tile<float>::rows);
  constexpr int vector = vector_size<float>;
  Vector<float> sum0[rows], sum1[rows];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) sum0[i] = sum1[i] = Vector<float>{};
  for (Extent q = 0; q < k; ++q, a += rows, b += 2 * vector) {
    BitVector b0, b1;
    std::memcpy(&b0, b, sizeof b0);
    std::memcpy(&b1, b + vector, sizeof b1);
#if defined(__AVX512BF16__)
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const auto factor = std::bit_cast<__m512bh>(BitVector{} + a[i].bits);
      sum0[i] = std::bit_cast<Vector<float>>(
          _mm512_dpbf16_ps(std::bit_cast<__m512>(sum0[i]), factor, std::bit_cast<__m512bh>(b0)));
      sum1[i] = std::bit_cast<Vector<float>>(
          _mm512_dpbf16_ps(std::bit_cast<__m512>(sum1[i]), factor, std::bit_cast<__m512bh>(b1)));
    }
#else
    const auto first = [](BitVector bits) { return std::bit_cast<Vector<float>>(bits << 16); };
    const auto second = [](BitVector bits) { return std::bit_cast<Vector<float>>(bits & 0xffff0000U); };
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const float a0 = std::bit_cast<float>(a[i].bits << 16), a1 = std::bit_cast<float>(a[i].bits & 0xffff0000U);
      sum0[i] += a1 * second(b0);
      sum1[i] += a1 * second(b1);
      sum0[i] += a0 * first(b0);
      sum1[i] += a0 * first(b1);
    }
#endif
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

/// pack_panel for pairs: `k` counts the source's elements, of which a last one without a second is paired with zero.
template <class T, Extent width, class Pair>
requires(Tile<Pair>::factors == 2) void pack_panel(const float* from, Extent step, Extent k_step, Extent present,
                                                   Extent k, Pair* to) {
  constexpr Extent vector = vector_size<float>;
  Extent p = 0;
  if (present == width && step == 1) {  // rows of pairs from two rows of the source
    for (; p + 2 <= k; p += 2) {
      const float *first = from + p * k_step, *second = first + k_step;
      Extent i = 0;
      for (; i + vector <= width; i += vector) {
        const BitVector bits = pairs_of(load_vector(first + i), load_vector(second + i));
        std::memcpy(to + p / 2 * width + i, &bits, sizeof bits);
      }
      for (; i < width; ++i) to[p / 2 * width + i] = {pair_of(first[i], second[i])};
    }
  } else if (present == width && k_step == 1) {  // pairs of neighbours, transposed like floats
    float pairs[static_cast<std::size_t>(width * vector)];
    for (; p + 2 * vector <= k; p += 2 * vector) {
      for (Extent i = 0; i < width; ++i) pair_neighbours(from + i * step + p, vector, pairs + i * vector);
      auto* const panel = reinterpret_cast<float*>(to + p / 2 * width);
      Extent i = 0;
      for (; i + vector <= width; i += vector)
        store_turned<float, vector, width>(pairs + i * vector, vector, panel + i);
      if constexpr (width % vector != 0)
        store_turned<float, width % vector, width>(pairs + i * vector, vector, panel + i);
    }
  }
  for (; p < k; p += 2) {
    for (Extent i = 0; i < width; ++i) {
      const float* at = from + i * step + p * k_step;
      to[p / 2 * width + i] = {i >= present ? 0 : pair_of(at[0], p + 1 < k ? at[k_step] : 0.0F)};
    }
  }
}

}  // namespace greentrainer::eigen
