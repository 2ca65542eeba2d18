#pragma once

#include "greentrainer/io/json.hpp"
#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// OLMoE: Llama with norms on all heads of queries and keys at once, and experts instead of the feed-forward.
struct Olmoe {
  static constexpr std::string_view model_type = "olmoe";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.pad_token_id = 1, .epsilon = 1e-5});
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.head_norm = CausalDecoder::HeadNorm::all_heads;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    read_experts(config, d, {.count = 64, .per_token = 8, .width_field = "intermediate_size"});
    config.expect_value("clip_qkv", Json(nullptr));
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
