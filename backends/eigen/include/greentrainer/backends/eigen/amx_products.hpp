#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define GREENTRAINER_AMX 1
#else
#define GREENTRAINER_AMX 0
#endif

#include "greentrainer/backends/eigen/bfloat16_products.hpp"

// Products of bfloat16 factors in the tile registers of AMX. A tile is 16 rows of 16 words. One instruction adds to a
// tile of float sums the product of 16 x 32 and 32 x 16 factors: of each sum, the 16 terms with even p are added up
// from zero, in order, likewise the 16 with odd p; their sum is added to the old one. Every addition is a fused
// multiply-add or rounds to nearest; denormal numbers are zero (Intel's manual, TDPBF16PS; tests compare bits).
namespace greentrainer::eigen {

/// A pair of factors, as BFloat16Pair, in panels for tile registers. Panels are padded with zeros to a multiple of 32
/// factors. Right panels are those of BFloat16Pair, 32 columns wide. Left ones consist of blocks of 32 factors, each 32
/// rows of 16 words.
struct AmxPair {
  std::uint32_t bits;
};
template <>
struct Tile<AmxPair> {
  static constexpr Extent rows = 32, cols = 32;
  static constexpr Extent factors = 2, k_step = 32, most_depth = 768;
};

#if GREENTRAINER_AMX

/// Whether the processor has AMX with bfloat16 and the system lets this process use it, which it is asked for once.
inline bool amx_available() {
  static const bool available = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned bfloat16 = 1U << 22, tiles = 1U << 24;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & bfloat16) == 0 || (d & tiles) == 0) return false;
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return available;
}

/// Sets up the calling thread's tile registers, all of 16 rows of 64 bytes, and gives them back.
class [[nodiscard]] TileRegisters {
 public:
  [[gnu::target("amx-tile")]] TileRegisters() {
    struct alignas(64) {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    __asm__ volatile("" ::"r"(&config) : "memory");  // GCC believes that only 8 bytes of it are read
    _tile_loadconfig(&config);
  }
  [[gnu::target("amx-tile")]] ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

/// c (32, 32) = or += a b for whole panels of k words, a multiple of 16.
[[gnu::target("amx-tile,amx-bf16")]] inline void multiply_tiles(Extent k, const AmxPair* a, const AmxPair* b, float* c,
                                                                Extent c_stride, Write write) {
  const auto stride = static_cast<std::size_t>(c_stride) * sizeof(float);
  float* const lower = c + 16 * c_stride;
  __asm__ volatile("" ::: "memory");  // GCC does not know that loads of tiles read memory
  if (write == Write::accumulate) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, lower, stride);
    _tile_loadd(3, lower + 16, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (Extent q = 0; q < k; q += 16, a += 32 * 16, b += 16 * 32) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 128);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + 16, 128);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 256, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, lower, stride);
  _tile_stored(3, lower + 16, stride);
}

#else

inline bool amx_available() { return false; }
class [[nodiscard]] TileRegisters {};
inline void multiply_tiles(Extent, const AmxPair*, const AmxPair*, float*, Extent, Write) {}  // never called

#endif

/// The same at the edge of c, where only (m, n) of it exist.
inline void multiply_edge_tiles(Extent k, const AmxPair* a, const AmxPair* b, float* c, Extent c_stride, Extent m,
                                Extent n, Write write) {
  constexpr Extent rows = Tile<AmxPair>::rows, cols = Tile<AmxPair>::cols;
  float whole[static_cast<std::size_t>(rows * cols)];
  if (write == Write::accumulate) {
    std::fill_n(whole, rows * cols, 0.0F);
    for (Extent r = 0; r < m; ++r) std::copy_n(c + r * c_stride, n, whole + r * cols);
  }
  multiply_tiles(k, a, b, whole, cols, write);
  for (Extent r = 0; r < m; ++r) std::copy_n(whole + r * cols, n, c + r * c_stride);
}

/// A block of a left panel: 32 factors of `present` rows, of which `k` exist.
inline void pack_left_block(const float* from, Extent step, Extent k_step, Extent present, Extent k, AmxPair* to) {
  constexpr Extent rows = Tile<AmxPair>::rows, words = 16, vector = vector_size<float>;
  static_assert(words % vector == 0);
  if (k == 2 * words && present == rows && step == 1) {
    float pairs[static_cast<std::size_t>(words * rows)];  // words of each row's pair, to be turned
    pack_panel<float, rows>(from, step, k_step, present, k, reinterpret_cast<BFloat16Pair*>(pairs));
    for (Extent i = 0; i < rows; i += vector) {
      for (Extent q = 0; q < words; q += vector)
        store_turned<float, vector, words>(pairs + q * rows + i, rows, reinterpret_cast<float*>(to) + i * words + q);
    }
  } else {
    for (Extent i = 0; i < rows; ++i) {
      for (Extent q = 0; q < words; ++q) {
        const float* at = from + i * step + 2 * q * k_step;
        const bool first = i < present && 2 * q < k, second = i < present && 2 * q + 1 < k;
        to[i * words + q].bits = pair_of(first ? at[0] : 0, second ? at[k_step] : 0);
      }
    }
  }
}

/// pack_left for tile registers.
template <class T>
void pack_left(const T* from, Extent step, Extent k_step, Extent m, Extent k, AmxPair* to) {
  constexpr Extent rows = Tile<AmxPair>::rows, factors = Tile<AmxPair>::k_step, block = rows * factors / 2;
  const Extent words = words_for<AmxPair>(k), whole = k_step == 1 ? k / factors * factors : 0;
  for (Extent i = 0; i < round_up(m, rows) && whole > 0; ++i) {  // a row after the other, as they lie
    AmxPair* const row = to + i / rows * rows * words + i % rows * (factors / 2);
    for (Extent p = 0; p < whole; p += factors) {
      if (i < m)
        pair_neighbours(from + i * step + p, factors / 2, row + p / factors * block);
      else
        std::fill_n(row + p / factors * block, factors / 2, AmxPair{0});
    }
  }
  for (Extent p = whole; p < k; p += factors) {
    for (Extent i = 0; i < m; i += rows)
      pack_left_block(from + i * step + p * k_step, step, k_step, std::min(rows, m - i), std::min(factors, k - p),
                      to + i * words + p / factors * block);
  }
}

/// pack_right for tile registers.
template <class T>
void pack_right(const T* from, Extent step, Extent k_step, Extent n, Extent k, AmxPair* to) {
  constexpr Extent cols = Tile<AmxPair>::cols;
  const Extent words = (k + 1) / 2, all_words = words_for<AmxPair>(k);
  pack_panels<T, cols>(from, step, k_step, n, k, to);
  for (Extent j = 0; j < n; j += cols)
    std::fill_n(to + j * all_words + words * cols, (all_words - words) * cols, AmxPair{0});
}

/// multiply_panels in tile registers. Sums start from c where they are added to it. A left panel stays in the
/// first-level cache, so that rows of c are written as they lie: at this speed that is what takes time.
template <class T>
void multiply_panels(Extent m, Extent n, Extent k, const AmxPair* a, const AmxPair* b, T* c, Extent c_stride,
                     Write write) {
  constexpr Extent rows = Tile<AmxPair>::rows, cols = Tile<AmxPair>::cols;
  const TileRegisters registers;
  for (Extent i = 0; i < m; i += rows) {
    const Extent present = std::min(rows, m - i);
    for (Extent j = 0; j < n; j += cols) {
      T* const tile = c + i * c_stride + j;
      if (j + cols < n) fetch_tile<AmxPair>(tile + cols, c_stride, present);
      const Extent width = std::min(cols, n - j);
      if (present == rows && width == cols)
        multiply_tiles(k, a + i * k, b + j * k, tile, c_stride, write);
      else
        multiply_edge_tiles(k, a + i * k, b + j * k, tile, c_stride, present, width, write);
    }
  }
}

}  // namespace greentrainer::eigen
