#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <source_location>
#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer::cuda {

/// Where a call stands, as errors name it: "norms.cuh:42".
inline std::string text_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return text(path.substr(path.find_last_of('/') + 1), ":", where.line());
}

/// Throws BackendError with the call, its file and line, unless it succeeded.
inline void check(cudaError_t status, std::string_view call, const std::source_location& where) {
  if (status == cudaSuccess) return;
  throw BackendError("CudaBackend", text(call, " at ", text_of(where)),
                     text("expected success, got ", cudaGetErrorName(status), " (", cudaGetErrorString(status), ")"));
}
inline void check(cublasStatus_t status, std::string_view call, const std::source_location& where) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw BackendError(
      "CudaBackend", text(call, " at ", text_of(where)),
      text("expected success, got ", cublasGetStatusName(status), " (", cublasGetStatusString(status), ")"));
}

}  // namespace greentrainer::cuda

/// Every call of CUDA and cuBLAS whose status can be acted on goes through this.
#define GREENTRAINER_CUDA_CHECK(call) ::greentrainer::cuda::check((call), #call, std::source_location::current())
