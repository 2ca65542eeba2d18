#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "greentrainer/blocks/graph_options.hpp"
#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer {

/// Sizes of peft's table of a prefix, as its configuration has them where it does.
struct PrefixSizes {
  std::optional<Extent> layers = {};
  std::optional<Extent> width = {};
  std::optional<Extent> submodules = {};
};

/// A folder in peft's form: what it adds to a model's graph, and the tensors that go there.
struct AdapterFolder {
  GraphOptions options;
  PrefixSizes prefix_sizes;
  std::filesystem::path config_file;
  SafetensorsFile tensors;
};

/// Reads adapter_config.json and opens adapter_model.safetensors. Throws ConfigError or LoadError naming file and field
/// or tensor.
AdapterFolder read_adapter(const std::filesystem::path& folder);

namespace detail {

inline LoadError adapter_fault(const SafetensorsFile& file, const std::string& tensor, const std::string& fault) {
  return LoadError("load_adapter", text(file.path().string(), ", tensor ", tensor), fault);
}

}  // namespace detail

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/adapter_folder_inl.hpp"
#endif
