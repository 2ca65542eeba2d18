#pragma once

#include <string>
#include <string_view>

#include "greentrainer/train/state_json.hpp"

namespace greentrainer::testing {

/// The text of a value of a saved state.
template <class T>
std::string written(const T& value) {
  std::string all;
  StateWriter::write([&all](std::string_view piece) { all += piece; }, value);
  return all;
}

}  // namespace greentrainer::testing
