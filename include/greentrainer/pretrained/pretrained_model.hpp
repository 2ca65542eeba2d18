#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/io/checkpoint.hpp"
#include "greentrainer/io/incomplete_marker.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer {

/// A model with the Hugging Face folder that it came from: weights on the backend, the tokenizer, and the files that
/// saving needs.
template <Backend B>
class PretrainedModel : public Model<B> {
 public:
  using T = typename B::Scalar;

  /// `graph` is what the architecture makes of `options`. Adapters get their first values from the seed.
  PretrainedModel(B& backend, TensorGraph<B> graph, ModelFacts facts, std::filesystem::path folder,
                  GraphOptions options = {}, std::uint64_t seed = 0)
      : Model<B>(backend, std::move(graph), std::move(facts)),
        folder_(std::move(folder)),
        checkpoint_(std::make_shared<Checkpoint>(folder_)),
        options_(std::move(options)) {
    load_weights();
    set_first_values(*this, seed);
    const auto has = [&](const char* name) {
      std::error_code error;
      return std::filesystem::exists(folder_ / name, error);
    };
    if (has("tokenizer.json") || has("spiece.model") || has("vocab.json")) tokenizer_ = load_tokenizer(folder_);
  }

  /// Throws LoadError if the folder has no tokenizer.
  const Tokenizer& tokenizer() const {
    if (!tokenizer_) {
      throw LoadError("tokenizer",
                      text(folder_.string(),
                           ": expected tokenizer.json, spiece.model, or vocab.json and merges.txt, got none of them; ",
                           "data given as input_ids and labels needs no tokenizer"));
    }
    return *tokenizer_;
  }
  bool has_tokenizer() const { return tokenizer_ != nullptr; }
  const std::filesystem::path& folder() const { return folder_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  /// What the graph has beside what config.json says.
  const GraphOptions& options() const { return options_; }
  /// What the checkpoint calls a parameter that is not an adapter: its name, or that without the leading "model." or
  /// "transformer.".
  const std::string& source_name(ParameterId id) const { return source_names_[static_cast<std::size_t>(id)]; }

 private:
  void load_weights() {
    const auto& graph = this->graph();
    std::vector<T> host;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      const Parameter& p = graph.parameter(id);
      if (p.is_adapter()) continue;  // declared behind the checkpoint's
      source_names_.push_back(find_source_name(p.name));
      const TensorInfo& info = checkpoint_->info(source_names_.back());
      if (info.shape != p.shape) {
        throw LoadError("load_pretrained",
                        text(info.file.string(), ", tensor ", info.name, ": expected shape ", shape_text(p.shape),
                             ", got ", shape_text(info.shape), "; does config.json belong to this checkpoint?"));
      }
      host.resize(static_cast<std::size_t>(p.size()));
      checkpoint_->read_as<T>(info.name, host);
      for (std::size_t i = 0; i < host.size(); ++i) {
        if (!std::isfinite(host[i])) {
          throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", info.name,
                                                  ": expected finite weights, got ", host[i], " at element ", i));
        }
      }
      this->parameters()[id].upload(host);
    }
    refuse_unknown_tensors();
  }

  std::string find_source_name(const std::string& name) const {
    if (checkpoint_->contains(name)) return name;
    for (const std::string_view prefix : {"model.", "transformer."}) {
      if (name.starts_with(prefix) && checkpoint_->contains(name.substr(prefix.size())))
        return name.substr(prefix.size());
    }
    return name;
  }

  /// A tensor that the graph does not read may be part of the mathematics: it is refused, unless it repeats what is
  /// there or has no effect.
  void refuse_unknown_tensors() const {
    for (const std::string& name : checkpoint_->names()) {
      if (std::find(source_names_.begin(), source_names_.end(), name) != source_names_.end() || has_no_effect(name))
        continue;
      const auto original = repeated_parameter(name);
      const TensorInfo& info = checkpoint_->info(name);
      if (!original) {
        throw LoadError("load_pretrained", text(info.file.string(), ", tensor ", name,
                                                ": expected a tensor of this architecture, got an unknown one; ",
                                                "does config.json belong to this checkpoint?"));
      }
      if (!std::ranges::equal(checkpoint_->raw(name), checkpoint_->raw(source_name(*original)))) {
        throw LoadError(
            "load_pretrained",
            text(info.file.string(), ", tensor ", name, ": expected the weights of ", source_name(*original),
                 ", which config.json ties it to, got others; does config.json belong to this checkpoint?"));
      }
    }
  }
  /// Tables that follow from the configuration, and a bias that T5's first checkpoints have and no version of it reads.
  static bool has_no_effect(const std::string& name) {
    return name.ends_with(".rotary_emb.inv_freq") ||
           name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
  }
  /// The parameter that a tied tensor of this name repeats.
  std::optional<ParameterId> repeated_parameter(const std::string& name) const {
    const auto& graph = this->graph();
    if (name == "lm_head.weight") return graph.operators().back().parameters.front();
    if (name == "encoder.embed_tokens.weight" || name == "decoder.embed_tokens.weight")
      return graph.find("shared.weight");
    return std::nullopt;
  }

  std::filesystem::path folder_;
  std::shared_ptr<Checkpoint> checkpoint_;
  GraphOptions options_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> source_names_;
};

/// Loads a Hugging Face folder (config.json, model.safetensors or its shards, tokenizer files) of a known architecture,
/// with what the options add to its graph; adapters get their first values from the seed. Throws ConfigError or
/// LoadError naming file and field or tensor, and LoadError for a folder whose files are just being replaced.
template <Backend B>
PretrainedModel<B> load_pretrained(const std::filesystem::path& folder, B& backend, const GraphOptions& options = {},
                                   std::uint64_t seed = 0) {
  expect_complete_folder("load_pretrained", folder);
  const auto config = ConfigReader::from_file(folder / "config.json");
  return KnownArchitectures::read(config, [&](const auto& architecture) {
    return PretrainedModel<B>(backend, graph_of<B>(architecture, options), facts_of<B>(architecture, options), folder,
                              options, seed);
  });
}

/// The same for an architecture that is named: Llama, Opt, or one of your own.
template <class Architecture, Backend B>
PretrainedModel<B> load_pretrained(const std::filesystem::path& folder, B& backend, const GraphOptions& options = {},
                                   std::uint64_t seed = 0) {
  expect_complete_folder("load_pretrained", folder);
  const auto config = ConfigReader::from_file(folder / "config.json");
  config.expect_value("model_type", std::string(Architecture::model_type));
  const Architecture architecture = Architecture::read(config);
  return PretrainedModel<B>(backend, graph_of<B>(architecture, options), facts_of<B>(architecture, options), folder,
                            options, seed);
}

}  // namespace greentrainer
