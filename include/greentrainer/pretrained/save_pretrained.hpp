#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/io/float_codec.hpp"
#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"

namespace greentrainer {

namespace detail {

/// Weights as a checkpoint's bytes. Throws NumericalError for one that is not finite, or that the element type cannot
/// hold.
template <std::floating_point T>
std::vector<std::byte> encode_finite(const std::string& tensor, DType dtype, std::span<const T> values) {
  std::vector<std::byte> bytes = encode_floats<T>(dtype, values);
  std::vector<T> stored(values.size());
  decode_floats<T>(dtype, bytes, stored);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (std::isfinite(stored[i])) continue;
    if (!std::isfinite(values[i]))
      throw NumericalError("save_pretrained", text(tensor, ": expected finite weights, got ", values[i]));
    throw NumericalError("save_pretrained", text(tensor, ": expected weights that ", name_of(dtype), " can hold, got ",
                                                 values[i], "; save in a wider element type"));
  }
  return bytes;
}

/// A link in a model folder may lead into it, or to the blobs beside it where Hugging Face's cache keeps the files. Any
/// other would carry a file of the machine's into a folder that is given away.
inline void expect_own_file(const std::filesystem::path& folder, const std::string& name) {
  std::error_code error;
  if (!std::filesystem::is_symlink(folder / name, error)) return;
  const auto file = std::filesystem::weakly_canonical(folder / name).string();
  for (const auto& home : {folder, folder / ".." / ".." / "blobs"}) {
    if (file.starts_with(std::filesystem::weakly_canonical(home).string() + "/")) return;
  }
  throw SaveError("save_pretrained",
                  text((folder / name).string(), ": expected a file of the model, got a link to ", file));
}

}  // namespace detail

/// Writes the model into an output folder that is being made: config.json, model.safetensors, and the tokenizer's files
/// as they were. Each tensor has its source's element type, or `dtype`. A tensor that has not changed is copied byte by
/// byte; LoRA's matrices are merged into the weights beside them. Throws SaveError, NumericalError for weights that are
/// no longer numbers, and ConfigError for a model with a prefix, which no weights can stand for.
template <Backend B>
void write_pretrained(const PretrainedModel<B>& model, const OutputFolder& output, std::optional<DType> dtype = {}) {
  using T = typename B::Scalar;
  if (model.options().prefix_tokens > 0) {
    throw ConfigError(
        "save_pretrained",
        "prefix: expected a model without one, since it cannot be merged into weights; save it as an adapter");
  }
  const double lora_scale = model.options().lora ? model.options().lora->scale() : 0;
  const Checkpoint& checkpoint = model.checkpoint();
  std::vector<TensorToWrite> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (model.graph().parameter(id).is_adapter()) continue;
    const TensorInfo& info = checkpoint.info(model.source_name(id));
    const DType stored = dtype.value_or(*info.dtype);
    tensors.push_back({info.name, std::string(safetensors_name(stored)), info.shape,
                       [&model, &checkpoint, &info, id, stored, lora_scale](const ByteSink& sink) {
                         const std::vector<T> now = merged_values(model, id, lora_scale);
                         std::vector<T> before(now.size());
                         checkpoint.read_as<T>(info.name, before);
                         if (stored == *info.dtype && now == before)
                           sink(checkpoint.raw(info.name));
                         else
                           sink(detail::encode_finite<T>(info.name, stored, now));
                       }});
  }
  write_safetensors(output.path() / "model.safetensors", tensors, {{"format", "pt"}});

  auto config = read_json_file<OrderedJson>(model.folder() / "config.json");
  if (dtype) {
    for (const char* field : {"torch_dtype", "dtype"}) {
      if (config.contains(field)) config[field] = name_of(*dtype);
    }
  }
  atomic_write_file(output.path() / "config.json", config.dump(2) + "\n");
  constexpr std::array companions = {"tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "tokenizer.model",
                                     "spiece.model",
                                     "chat_template.jinja",
                                     "chat_template.json",
                                     "generation_config.json"};
  for (const char* name : companions) {
    std::error_code error;
    if (!std::filesystem::exists(model.folder() / name, error)) continue;
    detail::expect_own_file(model.folder(), name);
    if (!std::filesystem::copy_file(model.folder() / name, output.path() / name, error)) {
      throw SaveError("save_pretrained",
                      text((output.path() / name).string(), ": expected to copy it, got ", error.message()));
    }
  }
}

/// Writes a folder that `transformers` loads. It appears at `folder` when all of it is on disk; until then what was
/// there stays. `ends`: see write_generation_ends. Throws SaveError.
template <Backend B>
void save_pretrained(const PretrainedModel<B>& model, const std::filesystem::path& folder,
                     std::optional<DType> dtype = {}, std::span<const Index> ends = {}) {
  OutputFolder output(folder);
  write_pretrained(model, output, dtype);
  write_generation_ends(model, output.path(), ends);
  output.commit();
}

}  // namespace greentrainer
