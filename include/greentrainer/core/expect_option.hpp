#pragma once

#include <cmath>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Throws ConfigError naming an option's field, what was expected of it and what it is, unless `holds`.
template <class Value>
void expect_option(bool holds, std::string_view where, std::string_view field, std::string_view expected,
                   const Value& value) {
  if (!holds) throw ConfigError(where, field, text("expected ", expected, ", got ", value));
}

/// The same for a number that must be finite and at least `least`.
inline void expect_at_least(double least, std::string_view where, std::string_view field, double value) {
  expect_option(std::isfinite(value) && value >= least, where, field, text("a finite number, at least ", least), value);
}

}  // namespace greentrainer
