#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace greentrainer::select_detail {

/// Entries of a knapsack array that are worked on together: as many decisions fit into one word.
inline constexpr std::size_t row_block = 64;

/// One way to continue a knapsack array: `shift` steps more cost, `gain` more importance.
struct RowOption {
  std::size_t shift = 0;
  double gain = 0;
};

/// Bit i of a word, as an array: a decision becomes a bit by a bitwise and with it, lane by lane, which vectorises on
/// any instruction set.
inline constexpr std::array<std::uint64_t, row_block> bit_of = [] {
  std::array<std::uint64_t, row_block> bits{};
  for (std::size_t i = 0; i < row_block; ++i) bits[i] = std::uint64_t{1} << i;
  return bits;
}();

/// row[t] = max(row[t], source[t - shift_o] + gain_o over the options o), for from <= t < length (and some t below
/// `from`). Which one won (0: none, else option number + 1) is appended to `decisions`: `planes(options)` words for
/// each 64 entries. The first option wins a tie, the old value before all. `row` may be `source`: every option reads
/// the old values, so at most one of them is taken. Requires both arrays to be readable up to the next multiple of 64,
/// and row writable so; 3 options at most. O(length x options).
inline void take_best(double* row, const double* source, std::size_t from, std::size_t length, const RowOption* options,
                      std::size_t count, std::vector<std::uint64_t>& decisions) {
  const std::size_t planes = count > 1 ? 2 : 1;
  const std::size_t blocks = (length + row_block - 1) / row_block;
  const std::size_t start = decisions.size();
  decisions.resize(start + blocks * planes, 0);
  const std::size_t first = from / row_block;
  std::size_t least = options[0].shift;
  for (std::size_t o = 1; o < count; ++o) least = std::min(least, options[o].shift);

  // From the top down, so that in place every option still finds the old values below; a block's results are held back
  // until it is complete.
  for (std::size_t block = blocks; block-- > std::max(first, least / row_block);) {
    const std::size_t begin = block * row_block;
    double best[row_block];
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::memcpy(best, row + begin, sizeof best);
    for (std::size_t o = 0; o < count; ++o) {
      const double gain = options[o].gain;
      std::uint64_t won = 0;
      if (begin >= options[o].shift) {
        const double* shifted = source + (begin - options[o].shift);
        for (std::size_t i = 0; i < row_block; ++i) {
          const double value = shifted[i] + gain;
          const double better = value > best[i] ? value : best[i];
          // "Has it grown?" as the sign of a difference: comparisons of doubles that yield integers keep compilers from
          // vectorising for SSE2.
          won |= (0 - (std::bit_cast<std::uint64_t>(best[i] - better) >> 63)) & bit_of[i];
          best[i] = better;
        }
      } else {
        for (std::size_t i = std::min(options[o].shift - begin, row_block); i < row_block; ++i) {
          const double value = source[begin + i - options[o].shift] + gain;
          won |= value > best[i] ? bit_of[i] : 0;
          best[i] = value > best[i] ? value : best[i];
        }
      }
      const std::size_t number = o + 1;
      low = (low & ~won) | ((number & 1U) != 0 ? won : 0);
      high = (high & ~won) | ((number & 2U) != 0 ? won : 0);
    }
    std::memcpy(row + begin, best, sizeof best);
    decisions[start + block * planes] = low;
    if (planes == 2) decisions[start + block * planes + 1] = high;
  }
}

/// The decision that take_best() recorded for entry `t` from word `start` of `decisions` on.
inline unsigned decision(const std::vector<std::uint64_t>& decisions, std::size_t start, std::size_t count,
                         std::size_t t) {
  const std::size_t planes = count > 1 ? 2 : 1;
  const std::size_t word = start + (t / row_block) * planes;
  unsigned number = static_cast<unsigned>((decisions[word] >> (t % row_block)) & 1U);
  if (planes == 2) number |= static_cast<unsigned>((decisions[word + 1] >> (t % row_block)) & 1U) << 1;
  return number;
}

}  // namespace greentrainer::select_detail
