#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Seed-OSS: Llama with biases on queries, keys and values, and heads of their own size.
struct SeedOss {
  static constexpr std::string_view model_type = "seed_oss";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.pad_token_id = 1, .head_dim = 128});
    d.qkv_bias = config.get_or<bool>("attention_bias", true);
    d.o_bias = config.get_or<bool>("attention_out_bias", false);
    d.mlp_bias = config.get_or<bool>("mlp_bias", false);
    config.ignore({"pretraining_tp", "residual_dropout"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
