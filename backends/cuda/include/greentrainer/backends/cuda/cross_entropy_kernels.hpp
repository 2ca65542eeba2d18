#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Softmax cross-entropy of rows of logits, and its gradient.
template <class T>
class CrossEntropyKernels {
 public:
  explicit CrossEntropyKernels(Context& context) : context_(context) {}

  void cross_entropy_forward(Matrix<const T> logits, const Index* labels, T* row_losses, double* loss_sum);
  void cross_entropy_grad(Matrix<T> logits, const Index* labels, double scale);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
