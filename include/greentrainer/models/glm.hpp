#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// GLM-4 9B in transformers' first form: Llama with rotary positions on neighbouring columns of half of each head, and
/// one projection for gate and up.
struct Glm {
  static constexpr std::string_view model_type = "glm";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = read_shared(config, model_type);
    finish_config(config);
    return d;
  }

  /// What GLM-4-0414 shares.
  static CausalDecoder read_shared(const ConfigReader& config, std::string_view type) {
    CausalDecoder d =
        causal_decoder_from(config, type,
                            {.pad_token_id = 151329,
                             .epsilon = 1.5625e-7,
                             .head_dim = 128,
                             .rotary = {.rotated_share = 0.5, .follows_rotated_share = true, .interleaved = true}});
    d.names.gate_up = "mlp.gate_up_proj";
    d.names.gate = d.names.up = "";
    d.qkv_bias = config.get_or<bool>("attention_bias", true);
    return d;
  }
};

}  // namespace greentrainer
