#pragma once

#include "greentrainer/models/gpt_fields.hpp"

namespace greentrainer {

/// GPT-2: learned positions, one projection for queries, keys and values, and weights stored as (in, out).
struct Gpt2 {
  static constexpr std::string_view model_type = "gpt2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = gpt_decoder_from(config, model_type, true);
    d.names.positions = "transformer.wpe";
    d.names.qkv = "attn.c_attn";
    d.names.o = "attn.c_proj";
    d.names.up = "mlp.c_fc";
    d.names.down = "mlp.c_proj";
    d.conv1d = d.qkv_bias = d.o_bias = true;
    d.passed_over = {"*.attn.bias", "*.attn.masked_bias"};  // masks that older files have
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
