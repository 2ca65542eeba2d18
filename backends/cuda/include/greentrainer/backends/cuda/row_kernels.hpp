#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Kernels that bring rows from one place to another.
template <class T>
class RowKernels {
 public:
  explicit RowKernels(Context& context) : context_(context) {}

  void embedding_forward(Matrix<const T> table, const Index* index, Matrix<T> y);
  void embedding_grad_weight(Matrix<const T> grad_output, const Index* index, Matrix<T> grad_table);
  void gather_rows(Matrix<const T> x, const Index* index, Matrix<T> y);
  void scatter_rows(Matrix<const T> x, const Index* index, Matrix<T> y, Write write);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
