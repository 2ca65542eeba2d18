#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Kernels that treat each element alone.
template <class T>
class ElementwiseKernels {
 public:
  explicit ElementwiseKernels(Context& context) : context_(context) {}

  void add_bias(Matrix<T> y, const T* bias);
  void add(Matrix<const T> x, Matrix<const T> z, Matrix<T> y);
  void accumulate(Matrix<const T> x, Matrix<T> y);
  void copy_matrix(Matrix<const T> x, Matrix<T> y);
  void scale(Extent n, T* x, double factor);

  void activation_forward(Activation kind, Matrix<const T> x, Matrix<T> y);
  void activation_grad(Activation kind, Matrix<const T> grad_output, Matrix<const T> saved, Matrix<T> grad_input);
  void gated_forward(Activation kind, Matrix<const T> gate, Matrix<const T> up, Matrix<T> y);
  void gated_grad_gate(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate, Matrix<const T> up,
                       Matrix<T> grad_gate);
  void gated_grad_up(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate, Matrix<T> grad_up);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
