#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/model_files.hpp"

namespace greentrainer {

/// Where a model comes from: its small files, and what opens its weights.
struct ModelSource {
  ModelFiles files;
  std::shared_ptr<const GgufFile> gguf = nullptr;  ///< null for a folder

  /// Opens and checks the weights. Throws LoadError, and ConfigError for weights that are quantised in a way that
  /// cannot be read.
  std::shared_ptr<const Checkpoint> checkpoint() const;
};

/// Opens a Hugging Face folder, a GGUF file, or a folder that holds one GGUF file and no safetensors. What a GGUF file
/// says of its architecture and its tokenizer becomes config.json, tokenizer.json, tokenizer_config.json and
/// generation_config.json. Throws LoadError or ConfigError naming file and place: damaged files, architectures and
/// tokenizers that are not known, and a folder whose files are just being replaced.
ModelSource open_model(std::string_view where, const std::filesystem::path& path);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/model_source_inl.hpp"
#endif
