#pragma once

#include <cmath>
#include <string_view>

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Gemma 2: Gemma with norms on both sides of attention and feed-forward, limits on scores and logits, and a window of
/// attention in every second layer.
struct Gemma2 {
  static constexpr std::string_view model_type = "gemma2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = read_shared(config, model_type, {.score = 50, .logit = 30});
    read_window(config, d, 4096, layer_types_from(config, d, full_every(d, 2)));
    if (!config.is_off("use_bidirectional_attention")) config.expect_value("use_bidirectional_attention", false);
    config.ignore({"cache_implementation"});
    finish_config(config);
    return d;
  }

  /// Of scores and logits, where config.json has none; 0: nothing.
  struct Caps {
    double score = 0;
    double logit = 0;
  };
  /// What Gemma 3 and VaultGemma share: all but windows and, unless `reads_rotary`, rotary positions.
  static CausalDecoder read_shared(const ConfigReader& config, std::string_view type, Caps caps,
                                   bool reads_rotary = true) {
    CausalDecoder d = causal_decoder_from(config, type,
                                          {.pad_token_id = 0,
                                           .tied = true,
                                           .head_dim = 256,
                                           .activation_field = "hidden_activation",
                                           .activation = "gelu_pytorch_tanh",
                                           .reads_rotary = reads_rotary});
    d.names.attention_output_norm = "post_attention_layernorm";
    d.names.feed_forward_input_norm = "pre_feedforward_layernorm";
    d.names.feed_forward_output_norm = "post_feedforward_layernorm";
    d.norm.offset = 1;
    d.embedding_scale = std::sqrt(static_cast<double>(d.hidden_size));
    const double scalar = config.get_or<double>("query_pre_attn_scalar", 256);
    d.attention_scale = 1 / std::sqrt(detail::positive_number(config, "query_pre_attn_scalar", scalar));
    d.score_cap = cap_from(config, "attn_logit_softcapping", caps.score);
    d.logit_cap = cap_from(config, "final_logit_softcapping", caps.logit);
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    config.ignore({"hidden_act"});  // transformers goes by hidden_activation
    return d;
  }
};

}  // namespace greentrainer
