#pragma once

// Found by include path where greentrainer::cuda is built; without_cuda/ has its counterpart.

#include "backend_choice.hpp"
#include "greentrainer/backends/cuda.hpp"

namespace greentrainer::program {

/// The precision of a name that declare_backend accepts.
inline ProductPrecision precision_of(const std::string& name) {
  for (const ProductPrecision precision : {ProductPrecision::tf32, ProductPrecision::bf16}) {
    if (name == name_of(precision)) return precision;
  }
  return ProductPrecision::full;
}

/// Returns run(backend). Throws MissingDevice.
template <class Run>
int with_cuda(const BackendChoice& choice, Run&& run) {
  CudaBackend<float> backend(static_cast<int>(choice.device), {.products = precision_of(choice.products)});
  return run(backend);
}

}  // namespace greentrainer::program
