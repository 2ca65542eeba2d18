#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Logits that join each softmax of an attention, one a head, and have no value.
template <class T>
class AttentionSinkKernels {
 public:
  explicit AttentionSinkKernels(Context& context) : context_(context) {}

  void attention_sink_forward(Matrix<const T> sinks, Matrix<T> output, Matrix<T> stats);
  void attention_sink_grad(Matrix<const T> sinks, Matrix<const T> output, Matrix<const T> stats,
                           Matrix<const T> grad_output, Matrix<T> grad_sinks);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
