#pragma once

// Found by include path where greentrainer::cuda is built; without_cuda/ has its counterpart.

#include "backend_choice.hpp"
#include "greentrainer/backends/cuda.hpp"

namespace greentrainer::program {

/// Returns run(backend). Throws MissingDevice.
template <class Run>
int with_cuda(const BackendChoice& choice, Run&& run) {
  CudaBackend<float> backend(static_cast<int>(choice.device), {.products = precision_of(choice)});
  return run(backend);
}

}  // namespace greentrainer::program
