#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Qwen3-MoE: Qwen3 with experts instead of the feed-forward; a window of attention, if it is used, in all layers.
struct Qwen3Moe {
  static constexpr std::string_view model_type = "qwen3_moe";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    read_experts(config, d, {.count = 128, .per_token = 8, .width = 768});
    read_layers_of_experts(config, d);
    if (config.get_or<bool>("use_sliding_window", false))
      read_window(config, d, 4096, all_layers(d, sliding_attention));
    config.ignore({"sliding_window", "max_window_layers"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
