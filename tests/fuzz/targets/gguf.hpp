#pragma once

// reader: io/gguf.hpp io/gguf_reader.hpp

#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/gguf.hpp"

namespace greentrainer::fuzz {

/// A GGUF file, its metadata, and all its numbers.
inline void gguf(std::string_view input) {
  static const InputFolder folder;
  const GgufFile file(folder.write("model.gguf", input));
  for (const TensorInfo& info : file.tensors()) {
    file.raw(info.name);
    std::vector<float> values(static_cast<std::size_t>(info.elements()));
    file.read_part_as<float>(info.name, 0, values);
  }
}

}  // namespace greentrainer::fuzz
