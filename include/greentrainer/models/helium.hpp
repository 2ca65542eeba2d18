#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Helium: Llama with rotary positions on neighbouring columns, and no bias behind attention.
struct Helium {
  static constexpr std::string_view model_type = "helium";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(
        config, model_type,
        {.pad_token_id = 3, .epsilon = 1e-8, .head_dim = 128, .rotary = {.theta = 100000, .interleaved = true}});
    d.qkv_bias = config.get_or<bool>("attention_bias", false);
    d.mlp_bias = config.get_or<bool>("mlp_bias", false);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
