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

#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/io/stochastic_rounding.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/state_tensors.hpp"

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

/// Elements of a weight that are saved at once, or a row of more.
inline constexpr Extent most_saved_at_once = Extent{1} << 14;

/// Calls use(some of a weight's numbers with LoRA's matrices merged, the place of the first), in order: in pieces, or
/// as a whole where the checkpoint has another order or something is merged.
template <Backend B, class Use>
void for_merged_values(const PretrainedModel<B>& model, ParameterId id, const Use& use) {
  using T = typename B::Scalar;
  std::size_t first = 0;
  if (model.stored().keeps_order(id) && !lora_of(model.graph(), id)) {
    model.parameters().for_values(id, most_saved_at_once, [&](std::span<const T> some) {
      use(some, first);
      first += some.size();
    });
  } else {
    const std::vector<T> all = merged_values(model, id, model.options().lora ? model.options().lora->scale() : 0);
    use(std::span<const T>(all), first);
  }
}

/// Whether a weight's numbers are the checkpoint's.
template <Backend B>
bool is_unchanged(const PretrainedModel<B>& model, ParameterId id) {
  using T = typename B::Scalar;
  bool unchanged = true;
  std::vector<T> before;
  for_merged_values(model, id, [&](std::span<const T> now, std::size_t first) {
    if (!unchanged) return;
    before.resize(now.size());
    if (model.stored().keeps_order(id))
      model.stored().template read_in_order<T>(id, first, before);
    else
      model.stored().template read<T>(id, before);
    unchanged = std::ranges::equal(now, before);
  });
  return unchanged;
}

/// Whether a weight is what its format made of the checkpoint's: without matrices of LoRA that are merged into it.
template <Backend B>
bool is_frozen_in_format(const PretrainedModel<B>& model, ParameterId id) {
  return model.parameters().is_stored(id) && !lora_of(model.graph(), id);
}

}  // namespace detail

/// One tensor as its bytes in a saved folder, LoRA's matrices merged into it, handed to `sink` in pieces of some rows;
/// as a whole where the folder has another order, or something is merged. One that has not changed is copied byte by
/// byte if it keeps its type; one that was trained is rounded stochastically where `dtype` is narrower than float32;
/// one that is stored in a format has the numbers that the format stands for, rounded to nearest. Throws NumericalError
/// for weights that are not finite, or that the type cannot hold.
template <Backend B>
void hand_over_weights(const PretrainedModel<B>& model, ParameterId id, DType dtype, const ByteSink& sink) {
  using T = typename B::Scalar;
  const TensorInfo info = model.stored().saved(id);
  const bool unchanged = detail::is_unchanged(model, id);
  if (dtype == *info.dtype && unchanged && model.stored().for_saved_bytes(id, sink)) return;
  const bool to_nearest = unchanged || detail::is_frozen_in_format(model, id);
  detail::for_merged_values(model, id, [&](std::span<const T> now, std::size_t first) {
    std::vector<T> turned;
    if (!model.stored().keeps_order(id)) turned = model.stored().as_stored(id, std::vector<T>(now.begin(), now.end()));
    const std::span<const T> stored = turned.empty() ? now : std::span<const T>(turned);
    const std::vector<std::byte> bytes =
        to_nearest ? encode_floats<T>(dtype, stored) : encode_stochastically<T>(dtype, info.name, stored, first);
    detail::expect_held<T>(info.name, dtype, stored, bytes);
    sink(bytes);
  });
}

/// The same at once.
template <Backend B>
std::vector<std::byte> weights_to_save(const PretrainedModel<B>& model, ParameterId id, DType dtype) {
  std::vector<std::byte> all;
  all.reserve(static_cast<std::size_t>(model.graph().parameter(id).size() * size_of(dtype)));
  hand_over_weights(model, id, dtype,
                    [&](std::span<const std::byte> piece) { all.insert(all.end(), piece.begin(), piece.end()); });
  return all;
}

/// While it lives, a model computes with the weights that save_pretrained would write: rounded to the element type of
/// the folder, with LoRA's matrices merged. Then they are as they were, to the bit. For losses and scores of what is
/// saved. Keeps one copy, on the host, of the tensors that saving changes.
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
    piece_.resize(static_cast<std::size_t>(most_elements_at_once));
    originals_ = std::move(stored);
    exchange();  // from here on nothing throws that could leave some weights changed
  }
  WeightsAsSaved(const WeightsAsSaved&) = delete;
  WeightsAsSaved& operator=(const WeightsAsSaved&) = delete;
  ~WeightsAsSaved() { exchange(); }

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
  /// Weights change places with those that are saved.
  void exchange() {
    for (auto& [id, stored] : formatted_) model_->parameters().exchange(id, stored);
    B& backend = model_->backend();
    for (auto& [id, values] : originals_) {
      T* const weights = model_->parameters()[id].data();
      for (std::size_t first = 0; first < values.size(); first += piece_.size()) {
        const std::size_t count = std::min(piece_.size(), values.size() - first);
        const auto bytes = static_cast<Bytes>(count * sizeof(T));
        backend.copy_to_host(piece_.data(), weights + first, bytes);
        backend.copy_from_host(weights + first, values.data() + first, bytes);
        std::copy_n(piece_.begin(), count, values.begin() + static_cast<std::ptrdiff_t>(first));
      }
    }
  }

  ParameterId count() const { return static_cast<ParameterId>(model_->graph().parameters().size()); }

  PretrainedModel<B>* model_;
  std::vector<std::pair<ParameterId, std::vector<T>>> originals_;  ///< or, before they change places, what is saved
  std::vector<std::pair<ParameterId, Stored>> formatted_;
  std::vector<T> piece_;
};

}  // namespace greentrainer
