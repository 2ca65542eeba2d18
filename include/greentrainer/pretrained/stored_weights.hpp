#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/graph/selection.hpp"
#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/checkpoint_names.hpp"

namespace greentrainer {

/// The element type that transformers gives all weights of a folder: the one that config.json names, or that of the
/// alphabetically first floating-point tensor of the first file. Throws ConfigError for a name that is none of ours.
inline DType element_type_of(const ConfigReader& config, const Checkpoint& checkpoint) {
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

/// A checkpoint's tensors as the parameters of a model: which is which, and their numbers as transformers loads them.
class StoredWeights {
 public:
  StoredWeights(std::shared_ptr<const Checkpoint> checkpoint, DType dtype, CheckpointNames names)
      : checkpoint_(std::move(checkpoint)), dtype_(dtype), names_(std::move(names)) {}

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  /// What a parameter that is not an adapter is called in the checkpoint.
  const std::string& name(ParameterId id) const { return found_[static_cast<std::size_t>(id)]; }

  /// Whether the checkpoint has a head of its own beside the embedding that the head may be tied to.
  bool has_own_head() const {
    if (!names_.head || !checkpoint_->contains(names_.head->name)) return false;
    const auto embedding = find_own(names_.head->parameter);
    return embedding && !equal(*embedding, names_.head->name);
  }

  /// Finds each parameter's tensor. Throws LoadError for one that is not there or has another shape, and for a tensor
  /// that the graph does not read, which may be part of the mathematics: unless it repeats another, is none of numbers
  /// (masks and indices), or is one that transformers passes over.
  template <class P>
  void match(const TensorGraph<P>& graph) {
    head_is_tied_ = names_.head && !graph.find(names_.head->name);
    found_.clear();
    for (const Parameter& p : graph.parameters()) {
      if (p.is_adapter()) continue;  // declared behind the checkpoint's
      auto stored = find_own(p.name);
      if (!stored && head_is_tied_ && p.name == names_.head->parameter && checkpoint_->contains(names_.head->name))
        stored = names_.head->name;
      found_.push_back(stored.value_or(p.name));
      const TensorInfo& info = checkpoint_->info(found_.back());
      if (info.shape != p.shape) {
        throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", info.name),
                        text("expected shape ", shape_text(p.shape), ", got ", shape_text(info.shape),
                             "; does config.json belong to this checkpoint?"));
      }
    }
    const std::set<std::string_view> read(found_.begin(), found_.end());
    for (const std::string& tensor : checkpoint_->names()) {
      if (!read.contains(tensor)) expect_needless(graph, tensor);
    }
  }

  /// A parameter's numbers, in the element type that transformers gives them. Throws LoadError for one that is not
  /// finite, or that the type cannot hold.
  template <std::floating_point T>
  void read(ParameterId id, std::span<T> values) const {
    const TensorInfo& info = checkpoint_->info(name(id));
    for (std::size_t i = 0; i < values.size(); i += chunk)
      read_part(info, i, values.subspan(i, std::min(chunk, values.size() - i)));
    const auto bad = std::ranges::find_if(values, [](T value) { return !std::isfinite(value); });
    if (bad == values.end()) return;
    throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", info.name),
                    text("expected finite weights of ", name_of(dtype_), ", got ", *bad, " at element ",
                         bad - values.begin(), "; transformers, too, loads them as that type"));
  }

 private:
  static constexpr std::size_t chunk = std::size_t{1} << 16;

  /// Under its own name, without a leading "model." or "transformer.", or as one of its copies.
  std::optional<std::string> find_own(const std::string& parameter) const {
    if (checkpoint_->contains(parameter)) return parameter;
    for (const std::string_view prefix : {"model.", "transformer."}) {
      if (parameter.starts_with(prefix) && checkpoint_->contains(parameter.substr(prefix.size())))
        return parameter.substr(prefix.size());
    }
    for (const TiedName& copy : names_.copies) {
      if (copy.parameter == parameter && checkpoint_->contains(copy.name)) return copy.name;
    }
    return std::nullopt;
  }

  template <class P>
  void expect_needless(const TensorGraph<P>& graph, const std::string& tensor) const {
    const TensorInfo& info = checkpoint_->info(tensor);
    const bool masks_or_indices = info.dtype_name == "BOOL" || info.dtype_name.find_first_of("IU") == 0;
    const auto is = [&](const std::string& pattern) { return matches_glob(pattern, tensor); };
    if (masks_or_indices || std::ranges::any_of(names_.passed_over, is)) return;
    const auto original = repeated(tensor);
    if (!original) {
      throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", tensor),
                      text("expected a tensor of this architecture, got an unknown one; does config.json belong to "
                           "this checkpoint?"));
    }
    const std::string& kept = name(*graph.find(*original));
    if (!equal(kept, tensor)) {
      throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", tensor),
                      text("expected the weights of ", kept, ", which it is tied to, got others"));
    }
  }
  /// The parameter that a tied tensor of this name repeats.
  std::optional<std::string> repeated(const std::string& tensor) const {
    if (head_is_tied_ && tensor == names_.head->name) return names_.head->parameter;
    for (const TiedName& copy : names_.copies) {
      if (copy.name == tensor) return copy.parameter;
    }
    return std::nullopt;
  }

  /// Whether two tensors are the same weights once they are loaded.
  bool equal(const std::string& a, const std::string& b) const {
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

  /// Of the elements from `first` on, so many as `values` has.
  template <std::floating_point T>
  void read_part(const TensorInfo& info, std::size_t first, std::span<T> values) const {
    checkpoint_->read_part_as(info.name, first, values);
    const auto is = [&](const std::string& pattern) { return matches_glob(pattern, info.name); };
    if (info.dtype == dtype_ || (dtype_ == DType::float16 && std::ranges::any_of(names_.kept_in_float32, is))) return;
    decode_floats<T>(dtype_, encode_floats<T>(dtype_, std::span<const T>(values)), values);
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  DType dtype_;
  CheckpointNames names_;
  bool head_is_tied_ = false;
  std::vector<std::string> found_;  ///< by parameter
};

/// An architecture as a checkpoint has it: with a head of its own where the file has one that differs from the
/// embedding which it could be tied to.
template <class Architecture>
Architecture as_stored(Architecture architecture, const std::shared_ptr<const Checkpoint>& checkpoint, DType dtype) {
  if constexpr (requires { architecture.checkpoint_names(); }) {
    const CheckpointNames names = architecture.checkpoint_names();
    if (names.head) architecture.tie_word_embeddings = !StoredWeights(checkpoint, dtype, names).has_own_head();
  }
  return architecture;
}

}  // namespace greentrainer
