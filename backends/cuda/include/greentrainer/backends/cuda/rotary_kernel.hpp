#pragma once

#include <map>

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Rotary embedding. The frequencies of each shape are computed once, on the host.
template <class T>
class RotaryKernel {
 public:
  explicit RotaryKernel(Context& context) : context_(context) {}

  void rotary(Matrix<const T> x, const Index* positions, const RotaryShape& shape, Rotation rotation, Matrix<T> y);

 private:
  /// rotary_frequencies(shape), on the device.
  const double* frequencies(const RotaryShape& shape);

  Context& context_;
  std::map<RotaryShape, Scratch<double>> frequencies_;
};

}  // namespace greentrainer::cuda
