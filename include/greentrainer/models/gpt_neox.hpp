#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// GPT-NeoX and Pythia: attention and feed-forward side by side, each behind its LayerNorm, rotary positions on a share
/// of each head, one projection for each head's query, key and value.
struct GptNeoX {
  static constexpr std::string_view model_type = "gpt_neox";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.epsilon = 1e-5,
                                           .epsilon_field = "layer_norm_eps",
                                           .activation = "gelu",
                                           .padding_row = false,
                                           .rotary = {.rotated_share = 0.25,
                                                      .follows_rotated_share = true,
                                                      .theta_field = "rotary_emb_base",
                                                      .share_field = "rotary_pct"}});
    d.names = {.embedding = "gpt_neox.embed_in",
               .blocks = "gpt_neox.layers.",
               .qkv = "attention.query_key_value",
               .o = "attention.dense",
               .gate = "",
               .up = "mlp.dense_h_to_4h",
               .down = "mlp.dense_4h_to_h",
               .final_norm = "gpt_neox.final_layer_norm",
               .head = "embed_out"};
    d.norm.layer_norm = d.norm.bias = d.mlp_bias = true;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", true);
    d.fused_layout = CausalDecoder::FusedLayout::by_head;
    d.parallel = config.get_or<bool>("use_parallel_residual", true);
    d.passed_over = {"*.attention.bias", "*.attention.masked_bias"};  // masks that older files have
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
