#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/quantized_tensors.hpp"
#include "greentrainer/io/safetensors.hpp"

namespace greentrainer {

class GgufFile;

/// The weights of a model. Of a Hugging Face folder: `model.safetensors`, or the files that
/// `model.safetensors.index.json` lists. Or of a GGUF file, under the names that it has. Tensors that a folder stores
/// quantised are there as what they stand for.
class Checkpoint {
 public:
  /// Opens and checks all files. Throws LoadError; for a folder with pickle files alone it says how to convert them.
  explicit Checkpoint(std::filesystem::path folder);

  /// The same for a folder whose config.json has a `quantization_config`; `source` names it in errors. Throws
  /// ConfigError for a method that cannot be read.
  Checkpoint(std::filesystem::path folder, const Json& quantization_config, const std::string& source);

  explicit Checkpoint(std::shared_ptr<const GgufFile> file);

  /// Whether a folder has weights that this reads.
  static bool has_weights(const std::filesystem::path& folder);

  /// The folder, or the GGUF file.
  const std::filesystem::path& folder() const { return folder_; }
  bool is_gguf() const { return gguf_ != nullptr; }
  /// Whether a tensor stands for one that is stored quantised.
  bool is_decoded(std::string_view name) const { return quantized_.decoded.contains(name); }

  bool contains(std::string_view name) const;

  /// Each of these throws LoadError for a name that is not there.
  const TensorInfo& info(std::string_view name) const;
  /// Its bytes as stored; of one that is decoded, its numbers in the type that `info` names.
  std::vector<std::byte> raw(std::string_view name) const;
  /// The same, handed to `sink` in pieces.
  void for_raw(std::string_view name, const std::function<void(std::span<const std::byte>)>& sink) const;

  /// The tensor's numbers, converted; see SafetensorsFile::read_as.
  void read_as(std::string_view name, std::span<float> values) const;
  void read_as(std::string_view name, std::span<double> values) const;
  /// Some of them; see SafetensorsFile::read_part_as.
  void read_part_as(std::string_view name, std::size_t first, std::span<float> values) const;
  void read_part_as(std::string_view name, std::size_t first, std::span<double> values) const;

  /// All tensors, file after file, each in the order of its bytes.
  std::vector<std::string> names() const;

  /// None of a GGUF file.
  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  static constexpr std::string_view single_name = "model.safetensors";
  static constexpr std::string_view index_name = "model.safetensors.index.json";

  const SafetensorsFile& file_of(std::string_view name) const;

  void open(std::string_view file_name);

  void open_sharded();

  /// An index comes from strangers: it must not make us read elsewhere.
  static bool is_plain_name(const std::string& name);

  [[noreturn]] void refuse_other_formats() const;

  template <class T>
  void read_any_part(std::string_view name, std::size_t first, std::span<T> values) const;

  std::filesystem::path folder_;
  std::shared_ptr<const GgufFile> gguf_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, std::size_t, std::less<>> where_;
  QuantizedTensors quantized_;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/io/checkpoint_inl.hpp"
#endif
