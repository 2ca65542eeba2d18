#pragma once

#include "greentrainer/core/types.hpp"

namespace greentrainer::eigen {

/// Rounds up to a multiple of `step`.
constexpr Extent round_up(Extent n, Extent step) { return (n + step - 1) / step * step; }
constexpr Extent ceil_div(Extent n, Extent d) { return (n + d - 1) / d; }

}  // namespace greentrainer::eigen
