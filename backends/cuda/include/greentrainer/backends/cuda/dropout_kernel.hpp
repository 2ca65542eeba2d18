#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Dropout, forward and backward: each thread draws the random numbers of its own elements.
template <class T>
class DropoutKernel {
 public:
  explicit DropoutKernel(Context& context) : context_(context) {}

  void dropout(Matrix<const T> x, const DropoutMask& mask, Matrix<T> y, Write write);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
