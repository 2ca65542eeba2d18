#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// gpt-oss' gate, of pairs that lie side by side.
template <class T>
class ClampedGateKernels {
 public:
  explicit ClampedGateKernels(Context& context) : context_(context) {}

  void clamped_gate_forward(const ClampedGate& clamped, Matrix<const T> x, Matrix<T> y);
  void clamped_gate_grad(const ClampedGate& clamped, Matrix<const T> grad_output, Matrix<const T> x, Matrix<T> grad_x);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
