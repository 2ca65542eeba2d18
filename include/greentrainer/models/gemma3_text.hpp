#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Gemma 3, of text alone: Gemma with norms on both sides of attention and feed-forward, on queries and keys too, and a
/// window of attention in five of six layers, whose rotary positions are others.
struct Gemma3Text {
  static constexpr std::string_view model_type = "gemma3_text";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.pad_token_id = 0,
                                           .tied = true,
                                           .head_dim = 256,
                                           .activation_field = "hidden_activation",
                                           .activation = "gelu_pytorch_tanh",
                                           .reads_rotary = false});
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.names.attention_output_norm = "post_attention_layernorm";
    d.names.feed_forward_input_norm = "pre_feedforward_layernorm";
    d.names.feed_forward_output_norm = "post_feedforward_layernorm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    d.norm.offset = 1;
    d.embedding_scale = std::sqrt(static_cast<double>(d.hidden_size));
    const double scalar = config.get_or<double>("query_pre_attn_scalar", 256);
    d.attention_scale = 1 / std::sqrt(detail::positive_number(config, "query_pre_attn_scalar", scalar));
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    const Extent period =
        config.positive_or("sliding_window_pattern", config.positive_or("_sliding_window_pattern", 6));
    read_layer_rotaries(config, d,
                        {.full_theta = 1e6,
                         .sliding_theta = 10000,
                         .sliding_theta_field = "rope_local_base_freq",
                         .period = period,
                         .window = 4096});
    config.expect_value("final_logit_softcapping", Json(nullptr));
    config.expect_value("attn_logit_softcapping", Json(nullptr));
    if (!config.is_off("use_bidirectional_attention")) config.expect_value("use_bidirectional_attention", false);
    config.ignore({"cache_implementation"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
