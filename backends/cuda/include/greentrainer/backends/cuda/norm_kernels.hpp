#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// LayerNorm and RMSNorm over rows, and their gradients; and the gradient of a bias, which is a sum over rows like
/// those of a norm's weights.
template <class T>
class NormKernels {
 public:
  explicit NormKernels(Context& context) : context_(context) {}

  void layer_norm_forward(Matrix<const T> x, const T* weight, const T* bias, double epsilon, Matrix<T> y,
                          Matrix<T> stats);
  void layer_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight, Matrix<const T> stats,
                             Matrix<T> grad_input, Write write);
  void layer_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats, T* grad_weight);

  void rms_norm_forward(Matrix<const T> x, const T* weight, double offset, double epsilon, Matrix<T> y,
                        Matrix<T> stats);
  void rms_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight, double offset,
                           Matrix<const T> stats, Matrix<T> grad_input, Write write);
  void rms_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats, T* grad_weight);

  void bias_grad(Matrix<const T> grad_output, T* grad_bias);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
