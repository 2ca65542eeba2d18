#pragma once

#include <tuple>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"

namespace greentrainer::testing {

/// Every backend that must pass the tests in this folder: a new one is one more line.
using BackendList = std::tuple<EigenBackend<float>, EigenBackend<double>, OpaqueBackend<EigenBackend<float>>, CountingBackend<EigenBackend<double>>>;

}  // namespace greentrainer::testing
