#pragma once

#include <map>
#include <utility>

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Half-split rotary embedding. The frequencies of each (head_dim, theta) are computed once, on the host.
template <class T>
class RotaryKernel {
 public:
  explicit RotaryKernel(Context& context) : context_(context) {}

  void rotary(Matrix<const T> x, const Index* positions, Extent head_dim, double theta, Rotation rotation, Matrix<T> y);

 private:
  /// theta^(-2i / head_dim), i < head_dim / 2, on the device.
  const double* frequencies(Extent head_dim, double theta);

  Context& context_;
  std::map<std::pair<Extent, double>, Scratch<double>> frequencies_;
};

}  // namespace greentrainer::cuda
