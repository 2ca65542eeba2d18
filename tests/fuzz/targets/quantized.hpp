#pragma once

// reader: io/quantized_tensors_inl.hpp io/tensor_decoders.hpp

#include <span>
#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/quantized_tensors.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer::fuzz {

/// A quantization_config and, behind a NUL, the safetensors file of a folder that is quantised so: all its numbers, in
/// two parts.
inline void quantized(std::string_view input) {
  static const InputFolder folder;
  const auto [config, tensors] = two_parts(input);
  std::vector<SafetensorsFile> files;
  files.emplace_back(folder.write("model.safetensors", tensors));
  const QuantizedTensors found = find_quantized_tensors(parse_json(config, "config.json"), "config.json", files);
  for (const auto& [name, tensor] : found.decoded) {
    std::vector<float> values(static_cast<std::size_t>(tensor.info.elements()));
    const std::size_t half = values.size() / 2;
    tensor.decoder->read_part(0, std::span(values).first(half));
    tensor.decoder->read_part(half, std::span(values).subspan(half));
  }
}

}  // namespace greentrainer::fuzz
