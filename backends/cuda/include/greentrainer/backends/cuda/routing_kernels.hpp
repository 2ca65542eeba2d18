#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Which experts a row goes to, and numbers that rows are multiplied with.
template <class T>
class RoutingKernels {
 public:
  explicit RoutingKernels(Context& context) : context_(context) {}

  void route_forward(const RoutingShape& routing, Matrix<const T> logits, Matrix<T> weights);
  void route_grad(const RoutingShape& routing, Matrix<const T> grad_weights, Matrix<const T> logits,
                  Matrix<const T> weights, Matrix<T> grad_logits);
  void scale_rows(Matrix<const T> x, Matrix<const T> scale, Matrix<T> y);
  void dot_rows(Matrix<const T> x, Matrix<const T> z, Matrix<T> y);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
