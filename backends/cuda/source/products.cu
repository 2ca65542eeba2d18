#include <algorithm>
#include <limits>
#include <type_traits>

#include "greentrainer/backends/cuda/casts.cuh"
#include "greentrainer/backends/cuda/product_kernels.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"

namespace greentrainer::cuda {

namespace {

/// A factor as cuBLAS reads it.
struct Factor {
  const void* data;
  cublasOperation_t operation;
  Extent stride;
};

int as_int(Extent extent) {
  constexpr Extent most = std::numeric_limits<int>::max();
  if (extent > most)
    throw BackendError("CudaBackend::matmul", "extent",
                       text("expected at most ", most, ", got ", extent, "; lower the batch size"));
  return static_cast<int>(extent);
}

/// The one place where row-major meets column-major: what cuBLAS takes for the (cols, rows) matrix at an address is the
/// transpose of our (rows, cols) one, and y = x z is to it y^T = z^T x^T. So the factors change places, and each is
/// transposed where ours is.
template <class T>
void multiply(cublasHandle_t cublas, Factor x, Factor z, Extent depth, cudaDataType factor_type,
              cublasComputeType_t compute, Matrix<T> y, Write write) {
  const T alpha = 1, beta = write == Write::accumulate ? T(1) : T(0);
  constexpr cudaDataType type = std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_64F;
  GREENTRAINER_CUDA_CHECK(cublasGemmEx(cublas, z.operation, x.operation, as_int(y.cols), as_int(y.rows), as_int(depth),
                                       &alpha, z.data, factor_type, as_int(z.stride), x.data, factor_type,
                                       as_int(x.stride), &beta, y.data, type, as_int(y.stride), compute,
                                       CUBLAS_GEMM_DEFAULT));
}

/// A copy of a matrix in bfloat16, in rows of whole 16 bytes, which tensor cores want.
class Rounded {
 public:
  Rounded(Context& context, Matrix<const float> x) : stride_((x.cols + 7) / 8 * 8), copy_(context, x.rows * stride_) {
    const auto run = [&]<int n>(Width<n>) {
      launch(context.stream(), grid_of(ceil_div(x.cols, cast_block * n), std::min<Extent>(x.rows, 65535)), cast_block,
             0, cast_kernel<n, float>, x.rows, x.cols, x.data, x.stride, copy_.data(), stride_);
    };
    with_width<float>(run, x);
  }
  Factor factor(cublasOperation_t operation) const { return {copy_.data(), operation, stride_}; }

 private:
  Extent stride_;
  Scratch<Bfloat16> copy_;
};

}  // namespace

template <class T>
void ProductKernels<T>::matmul(Matrix<const T> x, Transpose transpose_x, Matrix<const T> z, Transpose transpose_z,
                               Matrix<T> y, Write write) {
  const bool tx = transpose_x == Transpose::yes, tz = transpose_z == Transpose::yes;
  const Extent depth = tx ? x.rows : x.cols;
  expect_shape("matmul", "left operand", x, tx ? depth : y.rows, tx ? y.rows : depth);
  expect_shape("matmul", "right operand", z, tz ? y.cols : depth, tz ? depth : y.cols);
  if (y.size() == 0) return;
  if (depth == 0) {
    constexpr Bytes element = sizeof(T);
    if (write == Write::overwrite) context_.zero_rows(y.data, y.stride * element, y.cols * element, y.rows);
    return;
  }
  const cublasOperation_t x_operation = tx ? CUBLAS_OP_T : CUBLAS_OP_N, z_operation = tz ? CUBLAS_OP_T : CUBLAS_OP_N;
  const Factor left{x.data, x_operation, x.stride}, right{z.data, z_operation, z.stride};
  if constexpr (std::is_same_v<T, double>) {
    multiply(context_.cublas(), left, right, depth, CUDA_R_64F, CUBLAS_COMPUTE_64F, y, write);
  } else {
    switch (context_.options().products) {
      case ProductPrecision::full:
        return multiply(context_.cublas(), left, right, depth, CUDA_R_32F, CUBLAS_COMPUTE_32F, y, write);
      case ProductPrecision::tf32:
        return multiply(context_.cublas(), left, right, depth, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, y, write);
      case ProductPrecision::bf16: {
        const Rounded rounded_x(context_, x), rounded_z(context_, z);
        return multiply(context_.cublas(), rounded_x.factor(x_operation), rounded_z.factor(z_operation), depth,
                        CUDA_R_16BF, CUBLAS_COMPUTE_32F, y, write);
      }
    }
  }
}

template class ProductKernels<float>;
template class ProductKernels<double>;

}  // namespace greentrainer::cuda
