#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/io/stochastic_rounding.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

namespace detail {

/// Throws NumericalError for a weight that is not finite, or that the element type cannot hold.
template <std::floating_point T>
void expect_held(const std::string& tensor, DType dtype, std::span<const T> values, std::span<const std::byte> bytes) {
  const auto each = static_cast<std::size_t>(size_of(dtype));
  std::vector<T> stored;  // some at a time, so that no copy of the tensor is made
  for (std::size_t first = 0; first < values.size(); first += stored.size()) {
    stored.resize(std::min(values.size() - first, std::size_t{1} << 16));
    decode_floats<T>(dtype, bytes.subspan(first * each, stored.size() * each), stored);
    const auto bad = std::ranges::find_if(stored, [](T value) { return !std::isfinite(value); });
    if (bad == stored.end()) continue;
    const T value = values[first + static_cast<std::size_t>(bad - stored.begin())];
    if (!std::isfinite(value))
      throw NumericalError("save_pretrained", tensor, text("expected finite weights, got ", value));
    throw NumericalError(
        "save_pretrained", tensor,
        text("expected weights that ", name_of(dtype), " can hold, got ", value, "; save in a wider element type"));
  }
}

/// Whether a weight's numbers are the checkpoint's.
template <Backend B>
bool is_unchanged(const PretrainedModel<B>& model, ParameterId id, const std::vector<typename B::Scalar>& now) {
  std::vector<typename B::Scalar> before(now.size());
  model.stored().template read<typename B::Scalar>(id, before);
  return now == before;
}

/// Whether a weight is what its format made of the checkpoint's: without matrices of LoRA that are merged into it.
template <Backend B>
bool is_frozen_in_format(const PretrainedModel<B>& model, ParameterId id) {
  return model.parameters().is_stored(id) && !lora_of(model.graph(), id);
}

}  // namespace detail

/// One tensor as its bytes in a saved folder, LoRA's matrices merged into it. One that has not changed is copied byte
/// by byte if it keeps its type; one that was trained is rounded stochastically where `dtype` is narrower than float32;
/// one that is stored in a format has the numbers that the format stands for, rounded to nearest. Throws NumericalError
/// for weights that are not finite, or that the type cannot hold.
template <Backend B>
std::vector<std::byte> weights_to_save(const PretrainedModel<B>& model, ParameterId id, DType dtype) {
  using T = typename B::Scalar;
  const TensorInfo info = model.stored().saved(id);
  std::vector<T> now = merged_values(model, id, model.options().lora ? model.options().lora->scale() : 0);
  const bool unchanged = detail::is_unchanged(model, id, now);
  if (dtype == *info.dtype && unchanged) {
    if (auto bytes = model.stored().saved_bytes(id)) return std::move(*bytes);
  }
  const std::vector<T> stored = model.stored().as_stored(id, std::move(now));
  const bool to_nearest = unchanged || detail::is_frozen_in_format(model, id);
  std::vector<std::byte> bytes =
      to_nearest ? encode_floats<T>(dtype, stored) : encode_stochastically<T>(dtype, info.name, stored);
  detail::expect_held<T>(info.name, dtype, stored, bytes);
  return bytes;
}

/// While it lives, a model computes with the weights that save_pretrained would write: rounded to the element type of
/// the folder, with LoRA's matrices merged. Then they are as they were, to the bit. For losses and scores of what is
/// saved. Keeps a copy, on the host, of the tensors that saving changes.
template <Backend B>
class WeightsAsSaved {
 public:
  using T = typename B::Scalar;

  /// `dtype` as for save_pretrained. The model must outlive it and stay where it is. Throws NumericalError as
  /// weights_to_save, and ConfigError for a model with a prefix, which is saved as an adapter alone.
  explicit WeightsAsSaved(PretrainedModel<B>& model, std::optional<DType> dtype = {}) : model_(&model) {
    if (model.options().prefix_tokens > 0)
      throw ConfigError("WeightsAsSaved", "prefix", "expected a model without one, since it cannot be merged");
    std::vector<std::pair<ParameterId, std::vector<T>>> stored;  // all of them before any is changed
    for (ParameterId id = 0; id < count(); ++id) {
      if (model.graph().parameter(id).is_adapter()) continue;
      const DType type = dtype.value_or(*model.stored().saved(id).dtype);
      const std::vector<std::byte> bytes = weights_to_save(model, id, type);
      std::vector<T> values(static_cast<std::size_t>(model.graph().parameter(id).size()));
      decode_floats<T>(type, bytes, values);
      values = model.stored().from_stored(id, std::move(values));
      if (values == model.parameters().values(id)) continue;
      if (model.parameters().is_stored(id))
        formatted_.emplace_back(id, encoded(id, values, type));
      else
        stored.emplace_back(id, std::move(values));
    }
    for (ParameterId id = 0; id < count(); ++id) {  // what is merged must not be added again
      const Parameter& p = model.graph().parameter(id);
      if (p.is_adapter()) stored.emplace_back(id, std::vector<T>(static_cast<std::size_t>(p.size()), T(0)));
    }
    for (auto& [id, values] : stored) {
      originals_.emplace_back(id, model.parameters()[id].download());
      model.parameters()[id].upload(values);
    }
    exchange_formatted();
  }
  WeightsAsSaved(const WeightsAsSaved&) = delete;
  WeightsAsSaved& operator=(const WeightsAsSaved&) = delete;
  ~WeightsAsSaved() {
    exchange_formatted();
    for (auto& [id, values] : originals_) model_->parameters()[id].upload(values);
  }

  /// Whether saving changes any weight.
  bool differ() const { return !originals_.empty() || !formatted_.empty(); }

 private:
  using Stored = typename ParameterStore<B>::Stored;

  /// Numbers that an element type holds, stored as these.
  Stored encoded(ParameterId id, const std::vector<T>& values, DType type) {
    const StorageFormat& format = storage_format_of(type);
    const Parameter& p = model_->graph().parameter(id);
    Stored stored(model_->backend(), StoredMatrix{&format, nullptr, p.rows(), p.cols()});
    stored.bytes().upload(encode_floats<T>(type, std::span<const T>(values)));
    return stored;
  }
  /// Weights that are stored in a format change places with those that are saved.
  void exchange_formatted() {
    for (auto& [id, stored] : formatted_) model_->parameters().exchange(id, stored);
  }

  ParameterId count() const { return static_cast<ParameterId>(model_->graph().parameters().size()); }

  PretrainedModel<B>* model_;
  std::vector<std::pair<ParameterId, std::vector<T>>> originals_;
  std::vector<std::pair<ParameterId, Stored>> formatted_;
};

}  // namespace greentrainer
