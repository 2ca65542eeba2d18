#pragma once

#include <tuple>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/backends/reference.hpp"

namespace greentrainer::testing {

/// Every backend that must pass the tests in this folder: a new one is one more line.
using BackendList = std::tuple<EigenBackend<float>, EigenBackend<double>, OpaqueBackend<EigenBackend<float>>,
                               CountingBackend<EigenBackend<double>>>;

/// Those whose gradients are compared with central differences.
using BackendsInDouble = std::tuple<ReferenceBackend<double>, EigenBackend<double>>;

}  // namespace greentrainer::testing
