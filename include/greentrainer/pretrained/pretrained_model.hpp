#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/io/model_files.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/pretrained/stored_weights.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer {

/// A model with the Hugging Face folder or the GGUF file that it came from: weights on the backend, the tokenizer, and
/// the files that saving needs.
template <Backend B>
class PretrainedModel : public Model<B> {
 public:
  using T = typename B::Scalar;

  /// `graph` is what the architecture makes of `options`; `stored` has been matched with it. Adapters get their first
  /// values from the seed.
  PretrainedModel(B& backend, TensorGraph<B> graph, ModelFacts facts, StoredWeights stored, ModelFiles files,
                  GraphOptions options = {}, std::uint64_t seed = 0)
      : Model<B>(backend, std::move(graph), std::move(facts)),
        stored_(std::move(stored)),
        files_(std::move(files)),
        options_(std::move(options)) {
    load_weights();
    set_first_values(*this, seed);
    if (greentrainer::has_tokenizer(files_)) tokenizer_ = load_tokenizer(files_);
  }

  /// Throws LoadError if the folder has no tokenizer.
  const Tokenizer& tokenizer() const {
    if (!tokenizer_) {
      throw LoadError("tokenizer", folder().string(),
                      text("expected tokenizer.json, spiece.model, or vocab.json and merges.txt, got none of them; ",
                           "data given as input_ids and labels needs no tokenizer"));
    }
    return *tokenizer_;
  }
  bool has_tokenizer() const { return tokenizer_ != nullptr; }
  /// The folder, or the GGUF file.
  const std::filesystem::path& folder() const { return files_.path(); }
  /// Its small files; those of a GGUF file are made of its metadata.
  const ModelFiles& files() const { return files_; }
  const Checkpoint& checkpoint() const { return stored_.checkpoint(); }
  /// The checkpoint's tensors as this model's parameters.
  const StoredWeights& stored() const { return stored_; }
  /// What the graph has beside what config.json says.
  const GraphOptions& options() const { return options_; }
  /// What the checkpoint calls a parameter that is not an adapter: its name, that without the leading "model." or
  /// "transformer.", or one that is tied to it.
  const std::string& source_name(ParameterId id) const { return stored_.name(id); }

 private:
  void load_weights() {
    const auto& graph = this->graph();
    std::vector<T> host;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      const Parameter& p = graph.parameter(id);
      if (p.is_adapter()) continue;  // declared behind the checkpoint's
      if (p.format != nullptr) {
        encode_weights(id, p);
        continue;
      }
      host.resize(static_cast<std::size_t>(p.size()));
      stored_.read<T>(id, host);
      this->parameters()[id].upload(host);
    }
  }
  void encode_weights(ParameterId id, const Parameter& p) {
    if (options_.keeps_source_format) {
      this->parameters().stored_bytes(id).upload(stored_.source_blocks(id));
      return;
    }
    std::vector<float> values(static_cast<std::size_t>(p.size()));
    stored_.read<float>(id, values);
    Tensor<B, std::byte>& to = this->parameters().stored_bytes(id);
    std::vector<std::byte> bytes(static_cast<std::size_t>(to.bytes()));
    encode_blocks(*p.format, std::span<const float>(values), std::span(bytes));
    expect_finite(id, *p.format, bytes, values);
    to.upload(bytes);
  }
  /// Throws LoadError where a format cannot hold a weight. `values` are what the bytes were made of; they become what
  /// these stand for.
  void expect_finite(ParameterId id, const StorageFormat& format, std::span<const std::byte> bytes,
                     std::vector<float>& values) const {
    const float largest = *std::ranges::max_element(values, {}, [](float v) { return std::fabs(v); });
    decode_blocks<float>(format, bytes, values);
    if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return;
    throw LoadError(
        "load_pretrained", text(folder().string(), ", tensor ", source_name(id)),
        text("expected weights that ", format.name, " can hold, got ", largest, "; store them in another format"));
  }

  StoredWeights stored_;
  ModelFiles files_;
  GraphOptions options_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

namespace detail {

/// Weights are stored as the checkpoint has them, where the graph can take that.
template <class P>
void keep_source_formats(TensorGraph<P>& graph, const StoredWeights& stored) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (graph.parameter(id).is_adapter()) continue;
    const StorageFormat* const format = stored.source_format(id);
    if (format != nullptr && graph.can_store(id, *format)) graph.store_in(id, format);
  }
}

/// Nothing is allocated for the model before the files' shapes have been compared with the graph's; `check` may compare
/// more.
template <Backend B, class Architecture, class Check>
PretrainedModel<B> load_architecture(const Architecture& described, const ModelSource& source,
                                     const ConfigReader& config, B& backend, const GraphOptions& options,
                                     std::uint64_t seed, const Check& check) {
  if (options.frozen_format != nullptr && options.keeps_source_format) {
    throw ConfigError("load_pretrained", "keeps_source_format",
                      text("expected it without a frozen_format, got ", options.frozen_format->name, " beside it"));
  }
  const auto checkpoint = source.checkpoint();
  const DType dtype = element_type_of(config, *checkpoint);
  const Architecture architecture = as_stored(described, checkpoint, dtype);
  TensorGraph<B> graph = graph_of<B>(architecture, options);
  ModelFacts facts = facts_of<B>(architecture, options);
  StoredWeights stored(checkpoint, dtype, architecture.tensors());
  stored.match();
  if (options.keeps_source_format) keep_source_formats(graph, stored);
  check(graph, facts);
  return PretrainedModel<B>(backend, std::move(graph), std::move(facts), std::move(stored), source.files, options,
                            seed);
}

template <class List, Backend B, class Check>
PretrainedModel<B> load_checked(const std::filesystem::path& folder, B& backend, const GraphOptions& options,
                                std::uint64_t seed, const Check& check) {
  const ModelSource source = open_model("load_pretrained", folder);
  const auto config = ConfigReader::from_files(source.files, "config.json");
  return List::read(config, [&](const auto& architecture) {
    return load_architecture(architecture, source, config, backend, options, seed, check);
  });
}

inline constexpr auto no_check = [](const auto&, const ModelFacts&) {};

}  // namespace detail

/// Loads a Hugging Face folder (config.json, model.safetensors or its shards, tokenizer files) or a GGUF file of a
/// known architecture, with what the options add to its graph; adapters get their first values from the seed. Throws
/// ConfigError or LoadError naming file and field or tensor, and LoadError for a folder whose files are just being
/// replaced.
template <Backend B>
PretrainedModel<B> load_pretrained(const std::filesystem::path& folder, B& backend, const GraphOptions& options = {},
                                   std::uint64_t seed = 0) {
  return detail::load_checked<KnownArchitectures>(folder, backend, options, seed, detail::no_check);
}

/// The same for architectures of a list: `Architectures<Mine, KnownArchitectures>{}` are one of your own and those that
/// are known.
template <Backend B, class... Entries>
PretrainedModel<B> load_pretrained(const std::filesystem::path& folder, B& backend, Architectures<Entries...>,
                                   const GraphOptions& options = {}, std::uint64_t seed = 0) {
  return detail::load_checked<Architectures<Entries...>>(folder, backend, options, seed, detail::no_check);
}

/// The same for an architecture that is named: Llama, Opt, or one of your own.
template <class Architecture, Backend B>
PretrainedModel<B> load_pretrained(const std::filesystem::path& folder, B& backend, const GraphOptions& options = {},
                                   std::uint64_t seed = 0) {
  const ModelSource source = open_model("load_pretrained", folder);
  const auto config = ConfigReader::from_files(source.files, "config.json");
  config.expect_value("model_type", std::string(Architecture::model_type));
  return detail::load_architecture(Architecture::read(config), source, config, backend, options, seed,
                                   detail::no_check);
}

}  // namespace greentrainer
