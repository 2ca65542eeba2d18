#pragma once

// reader: pretrained/adapter_folder.hpp pretrained/adapter_folder_inl.hpp pretrained/load_adapter.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"

namespace greentrainer::fuzz {

struct AdapterGraph {};

/// An adapter's folder, for a small Llama: adapter_config.json in front of the first NUL, adapter_model.safetensors
/// behind it.
inline void adapter(std::string_view input) {
  static const InputFolder folder;
  const auto [config, tensors] = two_parts(input);
  folder.write("adapter_config.json", config);
  folder.write("adapter_model.safetensors", tensors);
  const AdapterFolder read = read_adapter(folder.path());
  static const auto model =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json");
  KnownArchitectures::read(model, [&](const auto& architecture) {
    check_adapter(architecture.template graph<AdapterGraph>(read.options), read, false);
    return 0;
  });
}

}  // namespace greentrainer::fuzz
