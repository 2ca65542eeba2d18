#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Sums of numbers at each of `count` places that have the same bits in whatever order, and in whatever parts, the
/// numbers are added: whole numbers of a fixed unit, which is common to all places.
///
/// The binary digits of a number are cut into words of 30 at fixed positions. Of each place the two highest words (of
/// double: three) are summed as integers; the highest is that of the largest number of all places, and what lies below
/// the lowest is cut off every number alike. When a larger number comes, words move down, and the lowest are dropped:
/// they would have been cut off had it come first. So a sum is off by less than 2^-30 of the largest number for each
/// number added (of double: 2^-60), and by its own rounding. Holds 2^33 numbers.
///
/// Bins as in Demmel and Nguyen, "Parallel reproducible summation" (IEEE Trans. Computers 64, 2015), with integers.
template <std::floating_point T>
class ExactSum {
 public:
  static constexpr int word_bits = 30;
  static constexpr std::size_t words = sizeof(T) == 4 ? 2 : 3;
  /// Of the highest word, while all numbers are 0.
  static constexpr std::int64_t nothing = std::numeric_limits<std::int64_t>::min();
  /// Of the highest word, once a number is infinite or none: so are all sums then.
  static constexpr std::int64_t not_finite = std::numeric_limits<std::int64_t>::max();

  /// Integers that `count` places need.
  static constexpr std::size_t integers(std::size_t count) { return words * count; }

  ExactSum() = default;
  /// In this memory, of integers(count); all sums are 0.
  explicit ExactSum(std::span<std::int64_t> memory) : memory_(memory) { clear(); }

  void clear() {
    std::fill(memory_.begin(), memory_.end(), 0);
    top_ = nothing;
  }

  /// Adds a number at each place.
  void add(std::span<const T> numbers) {
    const std::int64_t top = top_of(numbers);
    raise(top);
    if (top == nothing || top_ == not_finite) return;
    const double to_units = std::ldexp(1.0, static_cast<int>(-word_bits * top_));
    constexpr double next = 1 << word_bits;
    std::int64_t* const sums = memory_.data();
    const std::size_t n = count();
    for (std::size_t i = 0; i < n; ++i) {
      double rest = static_cast<double>(numbers[i]) * to_units;
      for (std::size_t w = 0; w < words; ++w) {
        const auto word = static_cast<std::int32_t>(rest);  // cut off towards 0
        sums[w * n + i] += word;
        rest = (rest - word) * next;  // exact
      }
    }
  }

  /// Position of the highest word: of sums that are to be added up, all must have the same.
  std::int64_t top() const { return top_; }
  /// Moves the highest word up to there; does nothing if it is not above.
  void raise(std::int64_t top) {
    if (top <= top_) return;
    const std::size_t n = count();
    const std::int64_t by = top_ == nothing || top == not_finite ? static_cast<std::int64_t>(words) : top - top_;
    for (std::size_t w = words; w-- > 0;) {
      const auto to = memory_.begin() + static_cast<std::ptrdiff_t>(w * n);
      if (static_cast<std::int64_t>(w) >= by) {
        const auto from = to - static_cast<std::ptrdiff_t>(static_cast<std::size_t>(by) * n);
        std::copy(from, from + static_cast<std::ptrdiff_t>(n), to);
      } else {
        std::fill(to, to + static_cast<std::ptrdiff_t>(n), 0);
      }
    }
    top_ = top;
  }

  /// The sums, rounded.
  void round(std::span<T> sums) const {
    if (top_ == nothing || top_ == not_finite) {
      std::fill(sums.begin(), sums.end(), top_ == nothing ? T(0) : std::numeric_limits<T>::quiet_NaN());
      return;
    }
    constexpr double next = 1 << word_bits;
    const double unit = std::ldexp(1.0, static_cast<int>(word_bits * (top_ - static_cast<std::int64_t>(words) + 1)));
    const std::size_t n = count();
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::size_t w = 0; w < words; ++w) sum = sum * next + static_cast<double>(memory_[w * n + i]);
      sums[i] = static_cast<T>(sum * unit);
    }
  }

  std::size_t count() const { return memory_.size() / words; }

 private:
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  /// The unit of a word below would have no normal reciprocal.
  static constexpr std::int64_t lowest_top = -33;

  /// Of the largest number's highest word.
  static std::int64_t top_of(std::span<const T> numbers) {
    Bits largest = 0;  // without the sign, bits are ordered as numbers are, and what is not finite is above all
    for (const T x : numbers) largest = std::max(largest, std::bit_cast<Bits>(x) & (~Bits{0} >> 1));
    const T value = std::bit_cast<T>(largest);
    if (value == 0) return nothing;
    if (!std::isfinite(value)) return not_finite;
    const int exponent = std::ilogb(value);
    const int word = exponent >= 0 ? exponent / word_bits : -((word_bits - 1 - exponent) / word_bits);
    return std::max<std::int64_t>(word, lowest_top);
  }

  std::span<std::int64_t> memory_;
  std::int64_t top_ = nothing;
};

}  // namespace greentrainer
