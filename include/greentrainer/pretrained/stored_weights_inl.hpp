#pragma once

#include <algorithm>
#include <set>
#include <string_view>

#include "greentrainer/pretrained/stored_weights.hpp"

namespace greentrainer {

GREENTRAINER_INLINE DType element_type_of(const ConfigReader& config, const Checkpoint& checkpoint) {
  for (const char* field : {"dtype", "torch_dtype"}) {
    if (!config.has(field)) continue;
    const auto name = config.get<std::string>(field);
    for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::bfloat16}) {
      if (name_of(dtype) == name) return dtype;
    }
    throw ConfigError("config", text(config.source(), ", field \"", field, "\""),
                      text("expected float64, float32, float16 or bfloat16, got ", name));
  }
  const auto& first_file = *std::ranges::min_element(checkpoint.files(), {}, &SafetensorsFile::path);
  const TensorInfo* first = nullptr;
  for (const TensorInfo& info : first_file.tensors()) {
    if (info.dtype && (first == nullptr || info.name < first->name)) first = &info;
  }
  return first == nullptr ? DType::float32 : *first->dtype;
}

GREENTRAINER_INLINE TensorInfo StoredWeights::saved(ParameterId id) const {
  const TensorInfo& info = checkpoint_->info(name(id));
  if (checkpoint_->is_decoded(info.name)) {
    TensorInfo as_loaded = info;
    as_loaded.dtype = dtype_;
    as_loaded.dtype_name = safetensors_name(dtype_);
    return as_loaded;
  }
  if (!checkpoint_->is_gguf()) return info;
  return {.name = row(id).name,
          .dtype_name = std::string(safetensors_name(*info.dtype)),
          .dtype = info.dtype,
          .shape = row(id).stored_shape()};
}

GREENTRAINER_INLINE bool StoredWeights::for_saved_bytes(
    ParameterId id, const std::function<void(std::span<const std::byte>)>& sink) const {
  if (checkpoint_->is_gguf() || checkpoint_->is_decoded(name(id))) return false;
  checkpoint_->for_raw(name(id), sink);
  return true;
}

GREENTRAINER_INLINE const StorageFormat* StoredWeights::source_format(ParameterId id) const {
  const TensorInfo& info = checkpoint_->info(name(id));
  const StorageFormat* format = nullptr;
  if (checkpoint_->is_gguf()) {
    if (row(id).gguf.offset == 0) format = find_storage_format(info.dtype_name);
  } else if (!is_kept_in_float32(info.name)) {
    format = &storage_format_of(dtype_);
  }
  const bool is_wide = format != nullptr && (format->dtype == DType::float64 || format->dtype == DType::float32);
  return is_wide ? nullptr : format;
}

GREENTRAINER_INLINE std::vector<std::byte> StoredWeights::source_blocks(ParameterId id) const {
  const StorageFormat& format = *source_format(id);
  const auto elements = static_cast<std::size_t>(checkpoint_->info(name(id)).elements());
  std::vector<float> values(elements);
  read<float>(id, values);  // throws for one that is not finite
  std::vector<std::byte> bytes(elements / format.block * format.bytes);
  if (format.dtype) {
    encode_blocks(format, values, bytes);  // exact
    return bytes;
  }
  bytes = checkpoint_->raw(name(id));
  part_pairs(row(id), std::span(bytes));
  return bytes;
}

GREENTRAINER_INLINE bool StoredWeights::is_of_other_part(const std::string& tensor) const {
  return std::ranges::any_of(table_.other_parts, [&](const auto& pattern) { return matches_glob(pattern, tensor); });
}

GREENTRAINER_INLINE std::vector<std::string> StoredWeights::other_parts() const {
  std::vector<std::string> found;
  for (const std::string& tensor : checkpoint_->names()) {
    if (is_of_other_part(tensor)) found.push_back(tensor);
  }
  return found;
}

GREENTRAINER_INLINE bool StoredWeights::has_own_head() const {
  if (!table_.head || !checkpoint_->contains(head_name())) return false;
  const auto embedding = find_own(table_.head->embedding);
  return embedding && !equal(*embedding, head_name());
}

GREENTRAINER_INLINE void StoredWeights::match() {
  found_.clear();
  for (const TensorRow& row : table_.rows) {
    auto stored = find_own(row.name);
    if (!stored && head_is_tied() && row.name == table_.head->embedding && checkpoint_->contains(head_name()))
      stored = head_name();
    found_.push_back(stored.value_or(row.name));
    const TensorInfo& info = checkpoint_->info(found_.back());
    const ParameterShape shape = checkpoint_->is_gguf() ? row.shape : row.stored_shape();
    if (info.shape != shape) {
      throw LoadError(
          "load_pretrained", text(info.file.string(), ", tensor ", info.name),
          text("expected shape ", shape_text(shape), ", got ", shape_text(info.shape), "; ", belongs_question()));
    }
  }
  const std::set<std::string_view> read(found_.begin(), found_.end());
  for (const std::string& tensor : checkpoint_->names()) {
    if (!read.contains(tensor)) expect_needless(tensor);
  }
}

GREENTRAINER_INLINE const char* StoredWeights::belongs_question() const {
  return checkpoint_->is_gguf() ? "does the file have metadata of another model?"
                                : "does config.json belong to this checkpoint?";
}

GREENTRAINER_INLINE const std::string& StoredWeights::head_name() const {
  static const std::string of_gguf = "output.weight";
  if (checkpoint_->is_gguf()) return of_gguf;
  const auto there = [&](const std::string& name) { return checkpoint_->contains(name); };
  const auto found = std::ranges::find_if(table_.head->other_names, there);
  return there(table_.head->name) || found == table_.head->other_names.end() ? table_.head->name : *found;
}

GREENTRAINER_INLINE std::optional<std::string> StoredWeights::find_own(const std::string& parameter) const {
  if (checkpoint_->is_gguf()) {
    const TensorRow* found = table_.find(parameter);
    if (found == nullptr || found->gguf.name.empty()) return std::nullopt;
    return found->gguf.name;
  }
  if (checkpoint_->contains(parameter)) return parameter;
  for (const std::string_view prefix : {"model.", "transformer.", "gpt_neox."}) {
    if (parameter.starts_with(prefix) && checkpoint_->contains(parameter.substr(prefix.size())))
      return parameter.substr(prefix.size());
  }
  if (const TensorRow* found = table_.find(parameter)) {
    for (const std::string& other : found->other_names) {
      if (checkpoint_->contains(other)) return other;
    }
  }
  return std::nullopt;
}

GREENTRAINER_INLINE void StoredWeights::expect_needless(const std::string& tensor) const {
  const TensorInfo& info = checkpoint_->info(tensor);
  const bool masks_or_indices = info.dtype_name == "BOOL" || info.dtype_name.find_first_of("IU") == 0;
  const auto is = [&](const std::string& pattern) { return matches_glob(pattern, tensor); };
  if (is_of_other_part(tensor)) {
    if (safetensors_element_size(info.dtype_name)) return;
    throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", tensor),
                    text("expected an element type that can be saved again, got ", info.dtype_name));
  }
  if (masks_or_indices || std::ranges::any_of(table_.passed_over, is)) return;
  const auto original = repeated(tensor);
  if (!original) {
    throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", tensor),
                    text("expected a tensor of this architecture, got an unknown one; ", belongs_question()));
  }
  const std::string& kept = name(static_cast<ParameterId>(*original));
  if (!equal(kept, tensor)) {
    throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", tensor),
                    text("expected the weights of ", kept, ", which it is tied to, got others"));
  }
}

GREENTRAINER_INLINE std::optional<std::size_t> StoredWeights::repeated(const std::string& tensor) const {
  const bool head = head_is_tied() && tensor == head_name();
  for (std::size_t i = 0; i < table_.rows.size(); ++i) {
    const TensorRow& original = table_.rows[i];
    if (head ? original.name == table_.head->embedding : std::ranges::count(original.other_names, tensor) > 0) return i;
  }
  return std::nullopt;
}

GREENTRAINER_INLINE bool StoredWeights::equal(const std::string& a, const std::string& b) const {
  const TensorInfo &one = checkpoint_->info(a), &other = checkpoint_->info(b);
  if (one.shape != other.shape) return false;
  std::vector<double> values(chunk), others(chunk);
  const auto elements = static_cast<std::size_t>(one.elements());
  for (std::size_t i = 0; i < elements; i += chunk) {
    values.resize(std::min(chunk, elements - i));
    others.resize(values.size());
    read_part<double>(one, i, values);
    read_part<double>(other, i, others);
    if (values != others) return false;
  }
  return true;
}

GREENTRAINER_INLINE bool StoredWeights::is_kept_in_float32(const std::string& tensor) const {
  const TensorRow* found = table_.find(tensor);
  return found != nullptr && found->kept_in_float32;
}

}  // namespace greentrainer
