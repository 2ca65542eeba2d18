#pragma once

#include <cstdint>

namespace greentrainer {

/// Number of elements, rows or columns. Signed, so that differences can be negative.
using Extent = std::int64_t;

/// Token ids, row numbers and sequence offsets as kernels read them.
using Index = std::int32_t;

/// Floating-point operations; one multiply-add counts as two.
using Flops = std::int64_t;

/// Bytes of memory.
using Bytes = std::int64_t;

/// Label of a position that carries no loss, as in PyTorch.
inline constexpr Index ignore_label = -100;

}  // namespace greentrainer
