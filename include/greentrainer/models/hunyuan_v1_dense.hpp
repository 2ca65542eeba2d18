#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Hunyuan 0.5B to 7B: Llama with norms on each head of queries and keys, behind their rotary positions.
struct HunYuanDense {
  static constexpr std::string_view model_type = "hunyuan_v1_dense";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.pad_token_id = 0, .epsilon = 1e-5});
    d.names.q_norm = "self_attn.query_layernorm";
    d.names.k_norm = "self_attn.key_layernorm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    d.head_norm_behind_rotary = true;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    config.ignore({"pretraining_tp", "eod_token_id"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
