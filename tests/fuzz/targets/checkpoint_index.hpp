#pragma once

// reader: io/checkpoint_inl.hpp

#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/safetensors_writer.hpp"

namespace greentrainer::fuzz {

/// The index of a checkpoint of two files, which have the tensors a, and b and c.
inline void checkpoint_index(std::string_view input) {
  static const InputFolder folder;
  static const bool is_written = [] {
    const std::vector<float> values = {1, 2};
    const auto tensor = [&](const char* name) {
      return TensorToWrite::values_of<float>(name, DType::float32, {2}, values);
    };
    write_safetensors(folder.path() / "model-00001-of-00002.safetensors", {tensor("a")});
    write_safetensors(folder.path() / "model-00002-of-00002.safetensors", {tensor("b"), tensor("c")});
    return true;
  }();
  static_cast<void>(is_written);
  folder.write("model.safetensors.index.json", input);
  const Checkpoint checkpoint(folder.path());
  for (const std::string& name : checkpoint.names()) {
    const auto elements = static_cast<std::size_t>(checkpoint.info(name).elements());
    std::vector<float> all(elements), part(elements);
    std::vector<double> wide(elements);
    checkpoint.read_as(name, std::span(all));
    checkpoint.read_as(name, std::span(wide));
    checkpoint.read_part_as(name, 0, std::span(part));
    if (!checkpoint.contains(name) || all != part || checkpoint.raw(name).empty()) std::abort();
  }
}

}  // namespace greentrainer::fuzz
