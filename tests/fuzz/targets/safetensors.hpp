#pragma once

// reader: io/safetensors.hpp io/safetensors_inl.hpp io/tensor_info.hpp

#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer::fuzz {

/// A safetensors file, and all its numbers.
inline void safetensors(std::string_view input) {
  static const InputFolder folder;
  const SafetensorsFile file(folder.write("model.safetensors", input));
  for (const TensorInfo& info : file.tensors()) {
    file.raw(info.name);
    if (!info.dtype) continue;
    std::vector<float> values(static_cast<std::size_t>(info.elements()));
    file.read_as<float>(info.name, values);
  }
}

}  // namespace greentrainer::fuzz
