#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/gguf.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer {

GREENTRAINER_INLINE Checkpoint::Checkpoint(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder_, error)) {
    throw LoadError(
        "load_checkpoint", folder_.string(),
        text("expected a model folder, got ", std::filesystem::exists(folder_, error) ? "a file" : "nothing there"));
  }
  if (std::filesystem::exists(folder_ / single_name, error)) {
    open(single_name);
  } else if (std::filesystem::exists(folder_ / index_name, error)) {
    open_sharded();
  } else {
    refuse_other_formats();
  }
}

GREENTRAINER_INLINE Checkpoint::Checkpoint(std::filesystem::path folder, const Json& quantization_config,
                                           const std::string& source)
    : Checkpoint(std::move(folder)) {
  quantized_ = find_quantized_tensors(quantization_config, source, files_);
  for (const std::string& companion : quantized_.companions) where_.erase(companion);
}

GREENTRAINER_INLINE Checkpoint::Checkpoint(std::shared_ptr<const GgufFile> file)
    : folder_(file->path()), gguf_(std::move(file)) {}

GREENTRAINER_INLINE bool Checkpoint::contains(std::string_view name) const {
  return gguf_ ? gguf_->contains(name) : where_.contains(name) || is_decoded(name);
}

GREENTRAINER_INLINE const TensorInfo& Checkpoint::info(std::string_view name) const {
  const auto decoded = quantized_.decoded.find(name);
  if (decoded != quantized_.decoded.end()) return decoded->second.info;
  return gguf_ ? gguf_->info(name) : file_of(name).info(name);
}

GREENTRAINER_INLINE std::vector<std::byte> Checkpoint::raw(std::string_view name) const {
  if (is_decoded(name)) {
    std::vector<float> values(static_cast<std::size_t>(info(name).elements()));
    read_as(name, std::span(values));
    return encode_floats<float>(*info(name).dtype, values);
  }
  return gguf_ ? gguf_->raw(name) : file_of(name).raw(name);
}

GREENTRAINER_INLINE void Checkpoint::for_raw(std::string_view name,
                                             const std::function<void(std::span<const std::byte>)>& sink) const {
  if (gguf_ || is_decoded(name)) return sink(raw(name));
  const SafetensorsFile& file = file_of(name);
  const TensorInfo& tensor = file.info(name);
  std::vector<std::byte> piece(std::min(tensor.end - tensor.begin, std::size_t{1} << 16));
  for (std::size_t first = 0; first < tensor.end - tensor.begin; first += piece.size()) {
    piece.resize(std::min(piece.size(), tensor.end - tensor.begin - first));
    file.raw_part(name, first, piece);
    sink(piece);
  }
}

template <class T>
void Checkpoint::read_any_part(std::string_view name, std::size_t first, std::span<T> values) const {
  const auto decoded = quantized_.decoded.find(name);
  if (decoded == quantized_.decoded.end()) {
    gguf_ ? gguf_->read_part_as(name, first, values) : file_of(name).read_part_as(name, first, values);
    return;
  }
  const TensorInfo& tensor = decoded->second.info;
  const auto elements = static_cast<std::size_t>(tensor.elements());
  if (first > elements || values.size() > elements - first) {
    throw ShapeError("load_checkpoint", text(tensor.file.string(), ", tensor ", name),
                     text("expected at least ", first, " + ", values.size(), " elements, got ", elements));
  }
  if constexpr (std::is_same_v<T, float>) {
    decoded->second.decoder->read_part(first, values);
  } else {
    std::vector<float> numbers(values.size());
    decoded->second.decoder->read_part(first, numbers);
    std::ranges::copy(numbers, values.begin());
  }
}

GREENTRAINER_INLINE void Checkpoint::read_as(std::string_view name, std::span<float> values) const {
  gguf_ || is_decoded(name) ? read_any_part(name, 0, values) : file_of(name).read_as(name, values);
}

GREENTRAINER_INLINE void Checkpoint::read_as(std::string_view name, std::span<double> values) const {
  gguf_ || is_decoded(name) ? read_any_part(name, 0, values) : file_of(name).read_as(name, values);
}

GREENTRAINER_INLINE void Checkpoint::read_part_as(std::string_view name, std::size_t first,
                                                  std::span<float> values) const {
  read_any_part(name, first, values);
}

GREENTRAINER_INLINE void Checkpoint::read_part_as(std::string_view name, std::size_t first,
                                                  std::span<double> values) const {
  read_any_part(name, first, values);
}

GREENTRAINER_INLINE bool Checkpoint::has_weights(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / single_name, error) || std::filesystem::exists(folder / index_name, error);
}

GREENTRAINER_INLINE std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> all;
  if (gguf_) {
    for (const TensorInfo& tensor : gguf_->tensors()) all.push_back(tensor.name);
  }
  for (const auto& file : files_) {
    for (const auto& tensor : file.tensors()) {
      if (where_.contains(tensor.name)) all.push_back(tensor.name);
    }
  }
  for (const auto& [name, decoded] : quantized_.decoded) {
    if (!where_.contains(name)) all.push_back(name);  // its codes have another name
  }
  return all;
}

GREENTRAINER_INLINE const SafetensorsFile& Checkpoint::file_of(std::string_view name) const {
  const auto found = where_.find(name);
  if (found == where_.end()) {
    throw LoadError(
        "load_checkpoint", folder_.string(),
        text("expected tensor ", name, ", got a checkpoint without it (it has ", where_.size(), " others)"));
  }
  return files_[found->second];
}

GREENTRAINER_INLINE void Checkpoint::open(std::string_view file_name) {
  files_.emplace_back(folder_ / file_name);
  for (const auto& tensor : files_.back().tensors()) {
    const auto [other, fresh] = where_.emplace(tensor.name, files_.size() - 1);
    if (!fresh) {
      throw LoadError(
          "load_checkpoint", text(files_.back().path().string(), ", tensor ", tensor.name),
          text("expected it in one file, got it in ", files_[other->second].path().filename().string(), " too"));
    }
  }
}

GREENTRAINER_INLINE void Checkpoint::open_sharded() {
  const auto path = folder_ / index_name;
  const Json index = read_json_file(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty()) {
    throw LoadError("load_checkpoint", path.string(),
                    "expected an object \"weight_map\" from tensor to file, got none");
  }
  std::map<std::string, std::size_t> opened;
  for (const auto& [name, file] : map->items()) {
    const auto file_name = file.is_string() ? file.template get<std::string>() : std::string();
    if (!is_plain_name(file_name)) {
      throw LoadError(
          "load_checkpoint", text(path.string(), ", tensor ", name),
          text("expected the name of a file in the same folder, got ", file.dump(-1, ' ', true).substr(0, 80)));
    }
    if (opened.emplace(file_name, files_.size()).second) open(file_name);
    if (!files_[opened.at(file_name)].contains(name)) {
      throw LoadError("load_checkpoint", text(path.string(), ", tensor ", name),
                      text("expected it in ", file_name, ", got a file without it"));
    }
  }
}

GREENTRAINER_INLINE bool Checkpoint::is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

GREENTRAINER_INLINE void Checkpoint::refuse_other_formats() const {
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const auto extension = entry.path().extension();
    if (extension != ".bin" && extension != ".pt" && extension != ".pth") continue;
    const auto folder = folder_.string();
    throw LoadError(
        "load_checkpoint", text(folder),
        text("expected model.safetensors, got ", entry.path().filename().string(),
             ", a pickle file, which can run code when it is read; ",
             "convert a folder you trust with: python3 -c \"from transformers import AutoModelForCausalLM as M, "
             "AutoTokenizer as T; i='",
             folder,
             "'; o=i.rstrip('/')+'-safetensors'; M.from_pretrained(i).save_pretrained(o, safe_serialization=True); ",
             "T.from_pretrained(i).save_pretrained(o)\""));
  }
  throw LoadError("load_checkpoint", folder_.string(),
                  "expected model.safetensors or model.safetensors.index.json, got neither; is this a model folder?");
}

}  // namespace greentrainer
