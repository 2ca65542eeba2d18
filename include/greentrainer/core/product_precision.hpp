#pragma once

#include <string_view>

namespace greentrainer {

/// How matrix products of floats are computed. Sums are in float every time, and what is trained (weights, gradients,
/// optimizer state) is float in memory. Products of doubles are always full.
enum class ProductPrecision {
  full,  ///< as the elements are
  tf32,  ///< factors with 10 bits of mantissa: on tensor cores
  bf16,  ///< factors with 7 bits of mantissa, bfloat16: on tensor cores, and on CPUs
};

constexpr std::string_view name_of(ProductPrecision precision) {
  switch (precision) {
    case ProductPrecision::full: return "full";
    case ProductPrecision::tf32: return "tf32";
    case ProductPrecision::bf16: return "bf16";
  }
  return "?";
}

}  // namespace greentrainer
