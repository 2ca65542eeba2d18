// backends/cuda/source/cublas.cpp, which loads the toolkit's library: what it hands on without a device.
#include <cublas_v2.h>
#include <string>

#include <doctest/doctest.h>

TEST_CASE("Every function of cuBLAS that the backend calls is found in the toolkit's library, and called") {
  CHECK(cublasGetStatusName(CUBLAS_STATUS_SUCCESS) == std::string("CUBLAS_STATUS_SUCCESS"));
  CHECK(cublasGetStatusString(CUBLAS_STATUS_SUCCESS) != std::string());
  // No handle: refused before any device is looked for.
  CHECK(cublasSetStream(nullptr, nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasSetWorkspace(nullptr, nullptr, 0) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasGemmEx(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, nullptr, nullptr, CUDA_R_32F, 1, nullptr, CUDA_R_32F,
                     1, nullptr, nullptr, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasDestroy(nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
}
