#pragma once

#include <cstdint>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// A whole number whose sums and products throw ConfigError on overflow of 63 bits: sizes come from untrusted files and
/// options.
class CheckedInteger {
 public:
  constexpr CheckedInteger(std::int64_t value) : value_(value) {}

  constexpr std::int64_t value() const { return value_; }

  friend constexpr CheckedInteger operator+(CheckedInteger a, CheckedInteger b) {
    std::int64_t sum = 0;
    if (__builtin_add_overflow(a.value_, b.value_, &sum)) overflow();
    return sum;
  }
  friend constexpr CheckedInteger operator*(CheckedInteger a, CheckedInteger b) {
    std::int64_t product = 0;
    if (__builtin_mul_overflow(a.value_, b.value_, &product)) overflow();
    return product;
  }
  constexpr CheckedInteger& operator+=(CheckedInteger other) { return *this = *this + other; }

 private:
  [[noreturn]] static void overflow() {
    throw ConfigError(
        "cost", "batch and model",
        "expected fewer than 9e18 operations, got more; use fewer sequences or tokens, or a smaller model");
  }

  std::int64_t value_;
};

}  // namespace greentrainer
