#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Qwen3: Llama with heads of their own size, whose queries and keys are normalised.
struct Qwen3 {
  static constexpr std::string_view model_type = "qwen3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.head_dim = 128});
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    read_qwen_window(config, d);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
