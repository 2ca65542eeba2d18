#pragma once

#include <cuda_runtime.h>
#include <sstream>
#include <string>

namespace greentrainer::cuda_emulation {

/// Thrown where work on a stream goes wrong, and caught where the stream is worked on.
struct Fault {
  cudaError_t code;
  std::string text;
};

/// Concatenates its arguments as a stream would.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace greentrainer::cuda_emulation
