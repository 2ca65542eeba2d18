#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Jais 2: Llama with LayerNorm, a plain feed-forward of squared ReLU, and biases everywhere.
struct Jais2 {
  static constexpr std::string_view model_type = "jais2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.epsilon = 1e-5, .epsilon_field = "layer_norm_eps", .activation = "relu2"});
    d.names.gate = "";
    d.norm.layer_norm = d.norm.bias = true;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", true);
    d.mlp_bias = config.get_or<bool>("mlp_bias", true);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
