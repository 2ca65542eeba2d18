#pragma once

// Found by include path where greentrainer::cuda is not built; with_cuda/ has its counterpart.

#include "backend_choice.hpp"

namespace greentrainer::program {

/// Throws MissingDevice.
template <class Run>
int with_cuda(const BackendChoice&, Run&&) {
  throw MissingDevice(
      "greentrainer", "--backend",
      "expected a backend that this program was built with (eigen), got cuda; build it where the CUDA Toolkit is");
}

}  // namespace greentrainer::program
