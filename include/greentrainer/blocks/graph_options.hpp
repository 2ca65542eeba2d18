#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/storage_format.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// LoRA's target that stands for every linear layer but the output head, as in the library peft.
inline constexpr std::string_view all_linear = "all-linear";

/// Low-rank matrices A (rank, in) and B (out, rank) beside linear layers (LoRA, arXiv 2106.09685): y = W x + b + scale
/// * B (A dropout(x)).
struct LoraOptions {
  Extent rank = 8;
  double alpha = 32;
  double dropout = 0;                     ///< of what A reads, in training
  std::vector<std::string> targets = {};  ///< linear layers by name or glob, or by the end of the name ("q_proj"), or
                                          ///< all_linear; none: those that the architecture's table marks

  double scale() const { return alpha / static_cast<double>(rank); }
};

/// What a model's graph has beside what its config.json says. Adapters are ordinary operators and parameters, named as
/// the library peft names them.
struct GraphOptions {
  std::optional<LoraOptions> lora = {};
  Extent prefix_tokens = 0;  ///< learned keys and values in front of each sequence's own, so many a layer (prefix
                             ///< tuning, arXiv 2101.00190)
  double dropout =
      0;  ///< of each attention's and feed-forward's output, before it is added to the residual stream, in training

  /// What weights are stored in until they are trained, where it can store them (TensorGraph::can_store); null: the
  /// backend's elements.
  const StorageFormat* frozen_format = nullptr;
  /// Instead: each in what the checkpoint stores it in, where that is less than float32 (StoredWeights::source_format).
  bool keeps_source_format = false;

  bool has_adapters() const { return lora || prefix_tokens > 0; }
};

/// What an architecture says about where its adapters go.
struct AdapterPlaces {
  Extent decoder_layers = 0;
  bool encoder_decoder = false;

  /// Which keys of peft's table of a prefix a decoder layer reads; its values are the entry behind. Where there is an
  /// encoder, peft makes two copies of the table, cuts them into fours for self- and cross-attention, and drops the
  /// latter: so layers share entries, and trained ones are only right that way.
  Extent prefix_entry(Extent layer) const { return encoder_decoder ? 4 * layer % (2 * decoder_layers) : 2 * layer; }
};

/// The name of a layer's A or B in peft's files.
inline std::string lora_parameter(const std::string& layer, char which) {
  return text("base_model.model.", layer, ".lora_", which, ".weight");
}
/// In peft's files all entries are one tensor, "prompt_embeddings", side by side.
inline std::string prefix_parameter(Extent entry) { return text("prompt_embeddings.", entry); }

/// Throws ConfigError naming an option that is out of range.
inline void check_graph_options(const GraphOptions& options) {
  const Extent most = Extent{1} << 16;
  const auto within = [most](const char* what, Extent value, Extent least) {
    if (value < least || value > most)
      throw ConfigError("adapters", what, text("expected ", least, " to ", most, ", got ", value));
  };
  const auto probability = [](const char* what, double value) {
    if (!(value >= 0) || value >= 1)
      throw ConfigError("adapters", what, text("expected at least 0 and less than 1, got ", value));
  };
  within("prefix_tokens", options.prefix_tokens, 0);
  probability("dropout", options.dropout);
  if (!options.lora) return;
  within("lora.rank", options.lora->rank, 1);
  probability("lora.dropout", options.lora->dropout);
  if (!std::isfinite(options.lora->alpha))
    throw ConfigError("adapters", "lora.alpha", text("expected a finite number, got ", options.lora->alpha));
}

}  // namespace greentrainer
