#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Softmax attention within sequences; no (tokens x tokens) matrix. head_dim is at most 256.
template <class T>
class AttentionKernels {
 public:
  explicit AttentionKernels(Context& context) : context_(context) {}

  void attention_forward(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                         Matrix<const T> values, Matrix<const T> bias, Matrix<T> output, Matrix<T> stats);
  void attention_grad(const AttentionShape& shape, Matrix<const T> queries, Matrix<const T> keys,
                      Matrix<const T> values, Matrix<const T> bias, Matrix<const T> output, Matrix<const T> stats,
                      Matrix<const T> grad_output, Matrix<T> grad_queries, Matrix<T> grad_keys, Matrix<T> grad_values,
                      Matrix<T> grad_bias);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
