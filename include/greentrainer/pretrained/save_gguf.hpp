#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/core/storage_format.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

struct GgufOptions {
  /// Of weights of two dimensions: F32, F16, BF16 or Q8_0. Norms, biases and tables of positions are float32.
  const StorageFormat* format = find_storage_format("F16");
  std::string name = {};  ///< general.name; empty: that of the model's folder
};

/// What was written.
struct SavedGguf {
  std::string architecture;
  std::string pre_tokenizer;  ///< tokenizer.ggml.pre; empty: the model has no tokenizer
  std::size_t tensors = 0;
  Bytes bytes = 0;
  std::vector<std::string> notices = {};  ///< what the file cannot say, a line each
};

/// Writes a model, a Hugging Face folder or another GGUF file, as a GGUF file that llama.cpp reads: the inverse of
/// open_model. Weights are those that load_pretrained gives, one tensor at a time in memory, rounded to nearest. The
/// file appears at `file` when all of it is on disk, in place of what was there. docs/gguf.md says what is written.
/// Throws as open_model and StoredWeights; ConfigError for what GGUF cannot hold: an adapter, an architecture or a
/// tokenizer without a form there (gguf_model, gguf_tokenizer_metadata), another format than the four; NumericalError
/// for weights that the format cannot hold; SaveError.
SavedGguf save_gguf(const std::filesystem::path& model, const std::filesystem::path& file,
                    const GgufOptions& options = {});

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/save_gguf_inl.hpp"
#endif
