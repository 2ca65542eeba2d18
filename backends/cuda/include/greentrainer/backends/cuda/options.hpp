#pragma once

#include <string_view>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// How matrix products of floats are computed. Sums are in float every time, and tensors (weights, gradients, optimizer
/// state) are floats in memory. Products of doubles are always full.
enum class ProductPrecision {
  full,  ///< as the elements are
  tf32,  ///< factors with 10 bits of mantissa, on tensor cores
  bf16,  ///< factors with 7 bits of mantissa, on tensor cores
};

constexpr std::string_view name_of(ProductPrecision precision) {
  switch (precision) {
    case ProductPrecision::full: return "full";
    case ProductPrecision::tf32: return "tf32";
    case ProductPrecision::bf16: return "bf16";
  }
  return "?";
}

struct CudaOptions {
  ProductPrecision products = ProductPrecision::full;
  Bytes memory_limit = 0;  ///< of the device's memory, for this backend; 0: as much as there is
};

/// Throws ConfigError for an option that is out of range.
inline void check_options(const CudaOptions& o) {
  expect_option(o.memory_limit >= 0, "CudaBackend", "memory_limit", "at least 0, which is no limit", o.memory_limit);
}

}  // namespace greentrainer
