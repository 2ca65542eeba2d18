#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/gguf_config.hpp"
#include "greentrainer/models/gguf_metadata.hpp"

namespace greentrainer {

namespace detail {

/// Model types and the architecture that GGUF files call them by.
inline constexpr auto gguf_architectures =
    std::to_array<std::pair<std::string_view, std::string_view>>({{"gemma3_text", "gemma3"},
                                                                  {"gpt2", "gpt2"},
                                                                  {"llama", "llama"},
                                                                  {"mistral", "llama"},
                                                                  {"phi3", "phi3"},
                                                                  {"qwen2", "qwen2"},
                                                                  {"qwen3", "qwen3"},
                                                                  {"stablelm", "stablelm"},
                                                                  {"starcoder2", "starcoder2"}});

/// The keys of an architecture, as llama.cpp's converter writes them.
class GgufModelKeys {
 public:
  GgufModelKeys(const CausalDecoder& decoder, std::string architecture)
      : d_(&decoder), name_(std::move(architecture)) {}

  GgufMetadata metadata() {
    whole("context_length", d_->max_position_embeddings);
    whole("embedding_length", d_->hidden_size);
    whole("block_count", d_->num_hidden_layers);
    whole("feed_forward_length", d_->intermediate_size);
    whole("attention.head_count", d_->num_attention_heads);
    number(d_->norm.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", d_->norm.epsilon);
    whole("vocab_size", d_->vocab_size);
    if (name_ == "gpt2") return std::move(keys_);
    whole("attention.head_count_kv", d_->num_key_value_heads);
    if (d_->head_dim * d_->num_attention_heads != d_->hidden_size) {
      whole("attention.key_length", d_->head_dim);
      whole("attention.value_length", d_->head_dim);
    }
    if (!d_->rotaries.empty()) rotary(d_->rotaries.front());
    if (name_ == "stablelm") add("use_parallel_residual", d_->parallel);
    if (name_ == "gemma3") {
      if (d_->rotaries.size() > 1) number("rope.freq_base_swa", d_->rotaries[1].theta);
      whole("attention.sliding_window_pattern", pattern());
    }
    if (d_->window > 0 && (name_ == "gemma3" || name_ == "phi3")) whole("attention.sliding_window", d_->window);
    return std::move(keys_);
  }

 private:
  void add(std::string_view key, GgufValue value) { keys_.emplace_back(text(name_, '.', key), std::move(value)); }
  void whole(std::string_view key, Extent value) { add(key, static_cast<std::uint32_t>(value)); }
  void number(std::string_view key, double value) { add(key, static_cast<float>(value)); }

  void rotary(const RotaryShape& shape) {
    number("rope.freq_base", shape.theta);
    whole("rope.dimension_count", shape.columns());
    using Kind = RotaryScaling::Kind;
    const RotaryScaling& s = shape.scaling;
    if (s.kind == Kind::linear || s.kind == Kind::yarn) {
      add("rope.scaling.type", std::string(s.kind == Kind::linear ? "linear" : "yarn"));
      number("rope.scaling.factor", s.factor);
    }
    if (s.kind == Kind::yarn) whole("rope.scaling.original_context_length", static_cast<Extent>(s.original_positions));
  }

  /// Every so many layers one has no window.
  Extent pattern() const {
    const auto full = std::ranges::find(d_->windowed_layers, false);
    return full == d_->windowed_layers.end() ? d_->num_hidden_layers + 1 : full - d_->windowed_layers.begin() + 1;
  }

  const CausalDecoder* d_;
  std::string name_;
  GgufMetadata keys_;
};

inline bool same_number(double a, double b) { return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b)); }

inline bool same_rotary(const RotaryShape& a, const RotaryShape& b) {
  const RotaryScaling &s = a.scaling, &t = b.scaling;
  bool same = a.head_dim == b.head_dim && a.columns() == b.columns() && a.interleaved == b.interleaved &&
              same_number(a.theta, b.theta) && same_number(a.amplitude, b.amplitude) && s.kind == t.kind;
  if (s.kind != RotaryScaling::Kind::none) same = same && same_number(s.factor, t.factor);
  if (s.kind == RotaryScaling::Kind::yarn || s.kind == RotaryScaling::Kind::llama3)
    same = same && same_number(s.original_positions, t.original_positions);
  return same && s.low_frequency_factor == t.low_frequency_factor &&
         s.high_frequency_factor == t.high_frequency_factor && s.beta_fast == t.beta_fast &&
         s.beta_slow == t.beta_slow && s.truncate == t.truncate && s.factors == t.factors &&
         s.factors_beyond == t.factors_beyond;
}

/// Whether a layer of each has the same, without which list says so.
template <class Of>
bool same_in_layers(const CausalDecoder& a, const CausalDecoder& b, const Of& of) {
  for (Extent i = 0; i < std::min(a.num_hidden_layers, b.num_hidden_layers); ++i) {
    if (of(a, static_cast<std::size_t>(i)) != of(b, static_cast<std::size_t>(i))) return false;
  }
  return true;
}

}  // namespace detail

GREENTRAINER_INLINE std::optional<std::string> difference_between(const CausalDecoder& one,
                                                                  const CausalDecoder& other) {
  std::optional<std::string> found;
  const auto whole = [&](const char* name, auto a, auto b) {
    if (!found && a != b) found = text(name, ": ", a, " and ", b);
  };
  const auto number = [&](const char* name, double a, double b) {
    if (!found && !detail::same_number(a, b)) found = text(name, ": ", a, " and ", b);
  };
  const auto same = [&](const char* name, bool holds) {
    if (!found && !holds) found = text(name, ", which is another");
  };
  const CausalDecoder &a = one, &b = other;
  whole("vocab_size", a.vocab_size, b.vocab_size);
  whole("hidden_size", a.hidden_size, b.hidden_size);
  whole("intermediate_size", a.intermediate_size, b.intermediate_size);
  whole("num_hidden_layers", a.num_hidden_layers, b.num_hidden_layers);
  whole("num_attention_heads", a.num_attention_heads, b.num_attention_heads);
  whole("num_key_value_heads", a.num_key_value_heads, b.num_key_value_heads);
  whole("head_dim", a.head_dim, b.head_dim);
  whole("max_position_embeddings", a.max_position_embeddings, b.max_position_embeddings);
  whole("window of attention", a.window, b.window);
  same("layers with a window", detail::same_in_layers(a, b, [](const CausalDecoder& d, std::size_t i) {
         return d.window > 0 && (d.windowed_layers.empty() || d.windowed_layers[i]);
       }));
  whole("LayerNorm", a.norm.layer_norm, b.norm.layer_norm);
  whole("bias of norms", a.norm.bias, b.norm.bias);
  number("epsilon of norms", a.norm.epsilon, b.norm.epsilon);
  number("offset of norms", a.norm.offset, b.norm.offset);
  whole("norm of queries and keys", static_cast<int>(a.head_norm), static_cast<int>(b.head_norm));
  whole("norm of queries and keys behind the rotary embedding", a.head_norm_behind_rotary, b.head_norm_behind_rotary);
  whole("order of a fused projection", static_cast<int>(a.fused_layout), static_cast<int>(b.fused_layout));
  whole("bias of queries, keys and values", a.qkv_bias, b.qkv_bias);
  whole("bias of attention's output", a.o_bias, b.o_bias);
  whole("bias of feed-forwards", a.mlp_bias, b.mlp_bias);
  whole("bias of the head", a.head_bias, b.head_bias);
  whole("activation", static_cast<int>(a.activation), static_cast<int>(b.activation));
  whole("experts", a.experts.count, b.experts.count);
  whole("parallel feed-forward", a.parallel, b.parallel);
  number("scale of embeddings", a.embedding_scale, b.embedding_scale);
  number("scale of attention's scores", a.attention_scale, b.attention_scale);
  number("limit of attention's scores", a.score_cap, b.score_cap);
  number("scale of residual branches", a.residual_scale, b.residual_scale);
  number("scale of logits", a.logit_scale, b.logit_scale);
  number("limit of logits", a.logit_cap, b.logit_cap);
  whole("rotary embeddings", a.rotaries.size(), b.rotaries.size());
  for (std::size_t i = 0; !found && i < a.rotaries.size(); ++i)
    same("rotary embedding or its scaling", detail::same_rotary(a.rotaries[i], b.rotaries[i]));
  same("layers with a rotary embedding", detail::same_in_layers(a, b, [](const CausalDecoder& d, std::size_t i) {
         return d.rotary_of_layer.empty() ? (d.rotaries.empty() ? -1 : 0) : d.rotary_of_layer[i];
       }));
  return found;
}

GREENTRAINER_INLINE GgufModel gguf_model(const CausalDecoder& decoder, const std::string& source) {
  const auto known = std::ranges::find(detail::gguf_architectures, decoder.model_type,
                                       &std::pair<std::string_view, std::string_view>::first);
  if (known == detail::gguf_architectures.end()) {
    std::string names;
    for (const auto& [type, name] : detail::gguf_architectures)
      names += (names.empty() ? "" : ", ") + std::string(type);
    throw ConfigError("gguf", text(source, ", field \"model_type\""),
                      text("expected one that GGUF files are written of (", names, "), got ", decoder.model_type));
  }
  GgufModel model{.architecture = std::string(known->second), .decoder = decoder};
  model.decoder.gguf_rotary_pairs = model.architecture == "llama";
  model.metadata = detail::GgufModelKeys(decoder, model.architecture).metadata();
  const RotaryShape rotary = decoder.rotaries.empty() ? RotaryShape{} : decoder.rotaries.front();
  if (rotary.scaling.kind == RotaryScaling::Kind::llama3) {
    for (const double factor :
         detail::GgufRotaryFactors::of(rotary.theta, rotary.scaling.factor, static_cast<std::size_t>(rotary.columns())))
      model.factors.push_back(static_cast<float>(factor));
  }

  GgufFacts facts{.source = source, .metadata = gguf_metadata_json(model.metadata), .rotary_factors = model.factors};
  facts.metadata["general.architecture"] = model.architecture;
  for (const TensorRow& row : model.decoder.tensors().rows) {
    if (row.gguf.name.empty())
      throw ConfigError("gguf", text(source, ", tensor ", row.name), "expected one that GGUF has a name for, got none");
    facts.shapes.emplace(row.gguf.name, row.shape);
  }
  if (!model.factors.empty())
    facts.shapes.emplace(detail::gguf_rotary_factors, std::vector<Extent>{static_cast<Extent>(model.factors.size())});
  if (decoder.padding_row)
    facts.metadata["tokenizer.ggml.padding_token_id"] = static_cast<std::uint32_t>(*decoder.padding_row);
  std::optional<std::string> difference = "kind of model, which is another";
  try {
    const ConfigReader read(gguf_config(std::move(facts)), source);
    KnownArchitectures::read(read, [&](const auto& again) {
      if constexpr (std::is_same_v<std::decay_t<decltype(again)>, CausalDecoder>)
        difference = difference_between(decoder, again);
    });
  } catch (const LoadError& error) {
    difference = std::string(error.message());
  }
  if (difference) {
    throw ConfigError("gguf", source,
                      text("expected a model that the metadata of architecture ", model.architecture,
                           " can describe, got one that they cannot, by what is read from them: ", *difference));
  }
  return model;
}

}  // namespace greentrainer
