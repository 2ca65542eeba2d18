#pragma once

// Found instead of tests/backends/backend_list.hpp by what is compiled for CUDA.

#include <tuple>

#include "greentrainer/backends/cuda.hpp"

namespace greentrainer::testing {

/// CUDA's device 0, without being asked for it: typed tests make their backends without arguments.
template <class T>
struct FirstDevice : CudaBackend<T> {
  FirstDevice() : CudaBackend<T>(0) {}
};

using BackendList = std::tuple<FirstDevice<float>, FirstDevice<double>>;
using BackendsInDouble = std::tuple<FirstDevice<double>>;

}  // namespace greentrainer::testing
