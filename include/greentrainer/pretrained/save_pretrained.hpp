#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/weights_as_saved.hpp"

namespace greentrainer {

namespace detail {

/// Files of a model that a saved folder has too, as they are. Throws SaveError for one that cannot be copied.
std::vector<std::string> companions_of(const ModelFiles& files);

/// Writes config.json, with the element type where it is given, and the tokenizer's files as they were. Throws
/// SaveError.
void write_companions(const ModelFiles& files, const std::filesystem::path& folder, std::optional<DType> dtype);

/// The tensors that a saved model has: its parameters in their order, and those of other parts. `model` must live until
/// they are written.
template <Backend B>
std::vector<TensorToWrite> tensors_to_save(const PretrainedModel<B>& model, std::optional<DType> dtype) {
  std::vector<TensorToWrite> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (model.graph().parameter(id).is_adapter()) continue;
    const TensorInfo info = model.stored().saved(id);
    const DType stored = dtype.value_or(*info.dtype);
    tensors.push_back({info.name, std::string(safetensors_name(stored)), info.shape,
                       [&model, id, stored](const ByteSink& sink) { hand_over_weights(model, id, stored, sink); }});
  }
  for (const std::string& name : model.stored().other_parts()) {
    const TensorInfo& info = model.checkpoint().info(name);
    tensors.push_back({info.name, info.dtype_name, info.shape,
                       [&model, name](const ByteSink& sink) { model.checkpoint().for_raw(name, sink); }});
  }
  return tensors;
}

template <Backend B>
void expect_no_prefix(const PretrainedModel<B>& model) {
  if (model.options().prefix_tokens > 0) {
    throw ConfigError("save_pretrained", "prefix",
                      "expected a model without one, since it cannot be merged into weights; save it as an adapter");
  }
}

}  // namespace detail

/// Writes model.safetensors alone into an output folder that is being made; see write_pretrained.
template <Backend B>
void write_weights(const PretrainedModel<B>& model, const OutputFolder& output, std::optional<DType> dtype = {}) {
  detail::expect_no_prefix(model);
  write_safetensors(output.path() / "model.safetensors", detail::tensors_to_save(model, dtype), {{"format", "pt"}});
}

/// Writes what a model folder has beside its weights: config.json, with the element type where it is given, and the
/// tokenizer's files as they were. Throws SaveError.
template <Backend B>
void write_companions(const PretrainedModel<B>& model, const OutputFolder& output, std::optional<DType> dtype = {}) {
  detail::write_companions(model.files(), output.path(), dtype);
}

/// Writes the model into an output folder that is being made: config.json, model.safetensors, and the tokenizer's files
/// as they were. Each tensor has its source's element type, or `dtype`; those of parts that are not in the graph, of
/// images for example, are as they were. A tensor that has not changed is copied byte by
/// byte; LoRA's matrices are merged into the weights beside them. Throws SaveError, NumericalError for weights that are
/// no longer numbers, and ConfigError for a model with a prefix, which no weights can stand for. What can be known of
/// this before a long run, check_save says.
template <Backend B>
void write_pretrained(const PretrainedModel<B>& model, const OutputFolder& output, std::optional<DType> dtype = {}) {
  write_weights(model, output, dtype);
  write_companions(model, output, dtype);
}

/// Writes a folder that `transformers` loads. It appears at `folder` when all of it is on disk; until then what was
/// there stays. `ends`: see write_generation_ends. Throws SaveError; OutputOccupied for a folder with files that this
/// program did not write.
template <Backend B>
void save_pretrained(const PretrainedModel<B>& model, const std::filesystem::path& folder,
                     std::optional<DType> dtype = {}, std::span<const Index> ends = {}, OutputOptions options = {}) {
  OutputFolder output(folder, std::move(options));
  write_pretrained(model, output, dtype);
  write_generation_ends(model, output.path(), ends);
  output.commit();
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/pretrained/save_pretrained_inl.hpp"
#endif
