#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// ERNIE 4.5, dense: Llama with rotary positions on neighbouring columns.
struct Ernie45 {
  static constexpr std::string_view model_type = "ernie4_5";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.pad_token_id = 0,
                                           .epsilon = 1e-5,
                                           .tied = true,
                                           .head_dim = 128,
                                           .rotary = {.theta = 500000, .interleaved = true}});
    d.qkv_bias = d.o_bias = d.mlp_bias = config.get_or<bool>("use_bias", false);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
