#include <algorithm>
#include <array>
#include <cuda_runtime.h>
#include <string>

#include "cuda_emulation/source/runtime.hpp"

using namespace greentrainer::cuda_emulation;

namespace {

struct ErrorName {
  cudaError_t error;
  const char* name;
  const char* meaning;
};
constexpr std::array error_names = {
    ErrorName{cudaSuccess, "cudaSuccess", "no error"},
    ErrorName{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    ErrorName{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    ErrorName{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    ErrorName{cudaErrorInvalidPitchValue, "cudaErrorInvalidPitchValue", "invalid pitch argument"},
    ErrorName{cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    ErrorName{cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
              "CUDA driver version is insufficient for CUDA runtime version"},
    ErrorName{cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    ErrorName{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    ErrorName{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    ErrorName{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    ErrorName{cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    ErrorName{cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    ErrorName{cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    ErrorName{cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
};
const ErrorName& named(cudaError_t error) {
  static constexpr ErrorName unknown{cudaSuccess, "unrecognized error code", "unrecognized error code"};
  const auto found =
      std::find_if(error_names.begin(), error_names.end(), [&](const ErrorName& name) { return name.error == error; });
  return found == error_names.end() ? unknown : *found;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return named(error).name; }

const char* cudaGetErrorString(cudaError_t error) {
  static std::string detailed;
  const std::string& details = Runtime::instance().details(error);
  if (details.empty()) return named(error).meaning;
  detailed = text(named(error).meaning, ": ", details);
  return detailed.c_str();
}

cudaError_t cudaGetLastError() { return Runtime::instance().last_error(true); }
cudaError_t cudaPeekAtLastError() { return Runtime::instance().last_error(false); }
