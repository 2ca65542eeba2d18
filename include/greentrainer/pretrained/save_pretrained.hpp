#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "greentrainer/io/output_folder.hpp"
#include "greentrainer/io/safetensors_writer.hpp"
#include "greentrainer/pretrained/generation_ends.hpp"
#include "greentrainer/pretrained/weights_as_saved.hpp"

namespace greentrainer {

namespace detail {

/// A link in a model folder may lead into it, or to the blobs beside it where Hugging Face's cache keeps the files. Any
/// other would carry a file of the machine's into a folder that is given away.
inline void expect_own_file(const std::filesystem::path& folder, const std::string& name) {
  const auto fail = [&](const auto&... got) {
    throw SaveError("save_pretrained", (folder / name).string(), text("expected a file of the model, got ", got...));
  };
  std::error_code error;
  const auto file = std::filesystem::weakly_canonical(folder / name, error);
  if (std::filesystem::is_symlink(folder / name, error)) {
    if (!std::filesystem::exists(file, error) || std::filesystem::is_symlink(file, error))
      fail("a link to nothing, ", std::filesystem::read_symlink(folder / name, error).string());
    const bool own = std::ranges::any_of(std::array{folder, folder / ".." / ".." / "blobs"}, [&](const auto& home) {
      return file.string().starts_with(std::filesystem::weakly_canonical(home, error).string() + "/");
    });
    if (!own) fail("a link to ", file.string());
  }
  if (!std::filesystem::is_regular_file(file, error)) fail("something else");
  if (::access(file.c_str(), R_OK) != 0) fail('"', errno_text(), '"');
}

/// Files of a model that a saved folder has too, as they are. Throws SaveError for one that cannot be copied.
inline std::vector<std::string> companions_of(const ModelFiles& files) {
  constexpr std::array names = {"tokenizer.json",
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
  std::vector<std::string> found;
  for (const char* name : names) {
    if (files.is_folder() ? !is_there(files.path() / name) : !files.has(name)) continue;
    if (files.is_folder()) expect_own_file(files.path(), name);
    found.push_back(name);
  }
  return found;
}

/// The tensors that a saved model has, in the order of its parameters. `model` must live until they are written.
template <Backend B>
std::vector<TensorToWrite> tensors_to_save(const PretrainedModel<B>& model, std::optional<DType> dtype) {
  std::vector<TensorToWrite> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (model.graph().parameter(id).is_adapter()) continue;
    const TensorInfo info = model.stored().saved(id);
    const DType stored = dtype.value_or(*info.dtype);
    tensors.push_back({info.name, std::string(safetensors_name(stored)), info.shape,
                       [&model, id, stored](const ByteSink& sink) { sink(weights_to_save(model, id, stored)); }});
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
  const std::vector<std::string> companions = detail::companions_of(model.files());
  auto config = parse_json<OrderedJson>(model.files().read("config.json"), model.files().source("config.json"));
  if (dtype) {
    for (const char* field : {"torch_dtype", "dtype"}) {
      if (config.contains(field)) config[field] = name_of(*dtype);
    }
  }
  atomic_write_file(output.path() / "config.json", config.dump(2) + "\n");
  for (const std::string& name : companions) {
    std::error_code error;
    if (!model.files().is_folder()) {
      atomic_write_file(output.path() / name, model.files().read(name));
    } else if (!std::filesystem::copy_file(model.files().path() / name, output.path() / name, error)) {
      throw SaveError("save_pretrained", (output.path() / name).string(),
                      text("expected to copy it, got ", error.message()));
    }
  }
}

/// Writes the model into an output folder that is being made: config.json, model.safetensors, and the tokenizer's files
/// as they were. Each tensor has its source's element type, or `dtype`. A tensor that has not changed is copied byte by
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
