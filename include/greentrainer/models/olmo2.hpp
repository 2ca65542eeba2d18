#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// OLMo 2: norms behind attention and feed-forward instead of before, and on all heads of queries and keys at once.
struct Olmo2 {
  static constexpr std::string_view model_type = "olmo2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.pad_token_id = 1, .epsilon = 1e-5});
    read(config, d);
    finish_config(config);
    return d;
  }

  /// What OLMo 3 shares.
  static void read(const ConfigReader& config, CausalDecoder& d) {
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.names.attention_input_norm = d.names.feed_forward_input_norm = "";
    d.names.attention_output_norm = "post_attention_layernorm";
    d.names.feed_forward_output_norm = "post_feedforward_layernorm";
    d.head_norm = CausalDecoder::HeadNorm::all_heads;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
  }
};

}  // namespace greentrainer
