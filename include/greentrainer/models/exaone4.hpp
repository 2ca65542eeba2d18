#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// EXAONE 4: norms behind attention and feed-forward instead of before, and on queries and keys; where there is a
/// window of attention, the layers without one have no rotary positions.
struct Exaone4 {
  static constexpr std::string_view model_type = "exaone4";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.epsilon = 1e-5});
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.names.attention_input_norm = d.names.feed_forward_input_norm = "";
    d.names.attention_output_norm = "post_attention_layernorm";
    d.names.feed_forward_output_norm = "post_feedforward_layernorm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    const bool windowed = !config.is_null("sliding_window");
    const Extent period =
        windowed && !config.is_text("sliding_window_pattern") ? config.positive_or("sliding_window_pattern", 4) : 4;
    const auto types = layer_types_from(config, d, windowed ? full_every(d, period) : all_layers(d, full_attention));
    for (const std::string& type : types) d.rotary_of_layer.push_back(!windowed || type == sliding_attention ? 0 : -1);
    read_window(config, d, 4096, types);
    config.ignore({"sliding_window_pattern"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
