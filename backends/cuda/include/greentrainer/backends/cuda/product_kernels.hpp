#pragma once

#include "greentrainer/backends/cuda/context.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Matrix products, all by cuBLAS, in the precision that the context's options say.
template <class T>
class ProductKernels {
 public:
  explicit ProductKernels(Context& context) : context_(context) {}

  void matmul(Matrix<const T> x, Transpose transpose_x, Matrix<const T> z, Transpose transpose_z, Matrix<T> y,
              Write write);

 private:
  Context& context_;
};

}  // namespace greentrainer::cuda
