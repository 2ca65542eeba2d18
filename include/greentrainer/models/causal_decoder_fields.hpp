#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/models/causal_decoder.hpp"
#include "greentrainer/models/config_fields.hpp"
#include "greentrainer/models/rotary_fields.hpp"

namespace greentrainer {

inline constexpr Extent max_width = Extent{1} << 20;
inline constexpr Extent max_layers = 4096;
inline constexpr Extent max_experts = 4096;

/// What an architecture's configuration class has where config.json has nothing, and what such fields are called.
struct CausalDecoderDefaults {
  std::optional<Extent> pad_token_id = {};
  double epsilon = 1e-6;
  std::string_view epsilon_field = "rms_norm_eps";
  bool tied = false;
  std::optional<Extent> head_dim = {};  ///< where it does not follow from the width
  std::string_view activation_field = "hidden_act";
  std::string activation = "silu";
  bool padding_row = true;  ///< transformers makes the embedding with padding_idx
  RotaryDefaults rotary = {};
  bool reads_rotary = true;  ///< else the architecture does: where layers have several
};

/// The fields that nearly all decoder-only families have under Llama's names. Throws ConfigError naming one that is
/// missing or out of range.
inline CausalDecoder causal_decoder_from(const ConfigReader& config, std::string_view model_type,
                                         const CausalDecoderDefaults& defaults) {
  CausalDecoder d;
  d.model_type = model_type;
  d.vocab_size = config.positive("vocab_size");
  d.hidden_size = config.positive("hidden_size", max_width);
  d.intermediate_size = config.positive("intermediate_size", max_width);
  d.num_hidden_layers = config.positive("num_hidden_layers", max_layers);
  d.num_attention_heads = config.positive("num_attention_heads", d.hidden_size);
  d.num_key_value_heads = config.positive_or("num_key_value_heads", d.num_attention_heads, d.num_attention_heads);
  require_divisible(config, "num_attention_heads", d.num_attention_heads, "num_key_value_heads", d.num_key_value_heads);
  if (!config.has("head_dim") && !defaults.head_dim)
    require_divisible(config, "hidden_size", d.hidden_size, "num_attention_heads", d.num_attention_heads);
  d.head_dim =
      config.positive_or("head_dim", defaults.head_dim.value_or(d.hidden_size / d.num_attention_heads), max_width);
  require_width(config, "num_attention_heads", d.num_attention_heads, "head_dim", d.head_dim, max_width);
  require_divisible(config, "head_dim", d.head_dim, "the two halves of a rotary embedding", 2);
  d.max_position_embeddings = config.positive("max_position_embeddings");
  d.norm.epsilon = epsilon_from(config, defaults.epsilon_field, defaults.epsilon);
  d.activation = activation_from(config, defaults.activation_field, defaults.activation);
  d.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", defaults.tied);
  if (defaults.padding_row) d.padding_row = padding_row_from(config, d.vocab_size, defaults.pad_token_id);
  if (defaults.reads_rotary) d.rotaries = {rotary_from(config, d.head_dim, d.max_position_embeddings, defaults.rotary)};
  return d;
}

/// Sets `attention_bias` and `mlp_bias` as Llama means them: of all projections.
inline void read_biases(const ConfigReader& config, CausalDecoder& d) {
  d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
  d.mlp_bias = config.get_or<bool>("mlp_bias", false);
}

/// Types of layers, as config.json has them.
inline constexpr const char *full_attention = "full_attention", *sliding_attention = "sliding_attention";

/// So many layers of a type.
inline std::vector<std::string> all_layers(const CausalDecoder& d, const char* type) {
  return std::vector<std::string>(static_cast<std::size_t>(d.num_hidden_layers), type);
}
/// Sliding, but for every `period`-th, which is full.
inline std::vector<std::string> full_every(const CausalDecoder& d, Extent period) {
  std::vector<std::string> types = all_layers(d, sliding_attention);
  for (Extent i = period; i <= d.num_hidden_layers; i += period)
    types[static_cast<std::size_t>(i - 1)] = full_attention;
  return types;
}

/// `layer_types`, or `fallback` where there are none. Throws ConfigError unless each layer has one of the two that are
/// known.
inline std::vector<std::string> layer_types_from(const ConfigReader& config, const CausalDecoder& d,
                                                 const std::vector<std::string>& fallback) {
  const auto types = config.has("layer_types") ? config.get<std::vector<std::string>>("layer_types") : fallback;
  const auto fail = [&](const auto&... detail) {
    throw ConfigError("config", text(config.source(), ", field \"layer_types\""), text(detail...));
  };
  for (const std::string& type : types) {
    if (type != full_attention && type != sliding_attention)
      fail("expected ", full_attention, " or ", sliding_attention, ", got ", type);
  }
  if (static_cast<Extent>(types.size()) != d.num_hidden_layers)
    fail("expected one for each of ", d.num_hidden_layers, " layers, got ", types.size());
  return types;
}

/// The window of attention of the layers of type sliding_attention: `sliding_window`, none where that is null, and
/// `fallback` where there is no such field.
inline void read_window(const ConfigReader& config, CausalDecoder& d, std::optional<Extent> fallback,
                        const std::vector<std::string>& types) {
  if (config.is_null("sliding_window")) fallback = {};
  const Extent window = config.positive_or("sliding_window", fallback.value_or(0) > 0 ? *fallback : 1);
  if (!fallback && !config.has("sliding_window")) return;
  for (const std::string& type : types) d.windowed_layers.push_back(type == sliding_attention);
  if (std::ranges::count(d.windowed_layers, true) > 0) d.window = window;
}

/// A field that limits numbers smoothly, null for no limit. Throws ConfigError unless it is positive.
inline double cap_from(const ConfigReader& config, std::string_view field, double fallback) {
  if (config.is_null(field)) return 0;
  const double cap = config.get_or<double>(field, fallback);
  return config.has(field) ? detail::positive_number(config, field, cap) : cap;
}

/// Qwen's: of the layers from `max_window_layers` on, and none unless `use_sliding_window` says so.
inline void read_qwen_window(const ConfigReader& config, CausalDecoder& d) {
  const auto first = config.get_or<Extent>("max_window_layers", 28);
  std::vector<std::string> types = all_layers(d, full_attention);
  for (Extent i = std::max<Extent>(first, 0); i < d.num_hidden_layers; ++i)
    types[static_cast<std::size_t>(i)] = sliding_attention;
  types = layer_types_from(config, d, types);
  if (config.get_or<bool>("use_sliding_window", false)) return read_window(config, d, 4096, types);
  config.ignore({"sliding_window"});
}

/// What an architecture's configuration class has of experts where config.json has nothing.
struct ExpertDefaults {
  Extent count = 8;
  Extent per_token = 2;
  std::string_view width_field = "moe_intermediate_size";
  Extent width = 0;  ///< 0: the field is required
  bool normalised = false;
};

/// Reads how many experts there are, how wide they are, and how many a token has. A loss that balances them is refused.
inline void read_experts(const ConfigReader& config, CausalDecoder& d, const ExpertDefaults& defaults) {
  CausalDecoder::Experts& e = d.experts;
  e.count = config.has("num_local_experts") || config.has("num_experts")
                ? positive_of(config, "num_experts", "num_local_experts", max_experts)
                : defaults.count;
  e.per_token = config.positive_or("num_experts_per_tok", defaults.per_token, e.count);
  e.width = defaults.width > 0 ? config.positive_or(defaults.width_field, defaults.width, max_width)
                               : config.positive(defaults.width_field, max_width);
  e.normalised = defaults.normalised || config.get_or<bool>("norm_topk_prob", false);
  config.expect_value("output_router_logits", false);
  config.expect_value("router_jitter_noise", 0.0);
  config.ignore({"router_aux_loss_coef"});
}

/// Qwen's: experts in every `decoder_sparse_step`-th layer that is not among `mlp_only_layers`.
inline void read_layers_of_experts(const ConfigReader& config, CausalDecoder& d) {
  const Extent step = config.positive_or("decoder_sparse_step", 1);
  const auto dense = config.get_or<std::vector<Extent>>("mlp_only_layers", {});
  for (Extent i = 0; i < d.num_hidden_layers; ++i)
    d.experts.layers.push_back((i + 1) % step == 0 && std::ranges::count(dense, i) == 0);
  if (std::ranges::count(d.experts.layers, true) == 0) d.experts.count = 0;
}

/// What an architecture says of two rotary embeddings, for layers with and without a window.
struct LayerRotaryDefaults {
  double full_theta = 10000;
  double sliding_theta = 10000;
  std::string_view sliding_theta_field = "";  ///< in files without rope_parameters
  Extent period = 4;                          ///< every so many layers one is full
  Extent window = 4096;
};

/// Reads `layer_types`, the window, and a rotary embedding for each type: from rope_parameters, a section for each, or
/// as older files have it, where rope_theta and rope_scaling are those of full layers alone. Throws ConfigError as
/// rotary_from.
inline void read_layer_rotaries(const ConfigReader& config, CausalDecoder& d, const LayerRotaryDefaults& defaults) {
  const std::vector<std::string> types = layer_types_from(config, d, full_every(d, defaults.period));
  config.ignore({"sliding_window_pattern", "_sliding_window_pattern"});
  read_window(config, d, defaults.window, types);
  const auto nested = config.section("rope_parameters");
  const auto section = [&](const char* type) { return nested ? nested->section(type) : std::nullopt; };
  const auto rotary = [&](const char* type, const std::optional<ConfigReader>& scaling, double theta) {
    const auto& from = scaling ? scaling : section(type);
    return detail::rotary_of_section(from, d.head_dim, d.max_position_embeddings, {.theta = theta}, config.source());
  };
  const auto scaling = config.is_off("rope_scaling") ? std::nullopt : config.section("rope_scaling");
  const double full_theta = config.get_or<double>("rope_theta", defaults.full_theta);
  const double sliding_theta = defaults.sliding_theta_field.empty()
                                   ? defaults.sliding_theta
                                   : config.get_or<double>(defaults.sliding_theta_field, defaults.sliding_theta);
  d.rotaries = {rotary(full_attention, scaling, full_theta), rotary(sliding_attention, std::nullopt, sliding_theta)};
  for (const std::string& type : types) d.rotary_of_layer.push_back(type == full_attention ? 0 : 1);
}

}  // namespace greentrainer
