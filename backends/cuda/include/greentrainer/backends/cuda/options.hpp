#pragma once

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/product_precision.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

struct CudaOptions {
  ProductPrecision products = ProductPrecision::full;
  Bytes memory_limit = 0;  ///< of the device's memory, for this backend; 0: as much as there is
};

/// Throws ConfigError for an option that is out of range.
inline void check_options(const CudaOptions& o) {
  expect_option(o.memory_limit >= 0, "CudaBackend", "memory_limit", "at least 0, which is no limit", o.memory_limit);
}

}  // namespace greentrainer
