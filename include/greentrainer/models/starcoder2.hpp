#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// StarCoder2: Llama with LayerNorm, a plain feed-forward and biases everywhere.
struct StarCoder2 {
  static constexpr std::string_view model_type = "starcoder2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(
        config, model_type,
        {.epsilon = 1e-5, .epsilon_field = "norm_epsilon", .tied = true, .activation = "gelu_pytorch_tanh"});
    d.names.gate = "";
    d.names.up = "mlp.c_fc";
    d.names.down = "mlp.c_proj";
    d.norm.layer_norm = d.norm.bias = true;
    d.qkv_bias = d.o_bias = d.mlp_bias = config.get_or<bool>("use_bias", true);
    read_window(config, d, {}, all_layers(d, sliding_attention));
    config.expect_value("norm_type", "layer_norm");
    config.expect_value("mlp_type", "default");
    config.ignore({"residual_dropout", "embedding_dropout"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
