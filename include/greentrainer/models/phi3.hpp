#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Phi-3 and Phi-4: Llama with one projection for queries, keys and values, and one for gate and up. Those of long
/// contexts have two sets of rotary factors, for sequences within their original context and beyond.
struct Phi3 {
  static constexpr std::string_view model_type = "phi3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(
        config, model_type,
        {.pad_token_id = 32000,
         .epsilon = 1e-5,
         .rotary = {.follows_rotated_share = true,
                    .original_positions = config.positive_or("original_max_position_embeddings", 4096),
                    .longrope_alone = true}});
    d.names.qkv = "self_attn.qkv_proj";
    d.names.gate_up = "mlp.gate_up_proj";
    d.names.gate = d.names.up = "";
    read_window(config, d, {}, all_layers(d, sliding_attention));
    config.expect_value("attention_bias", false);
    config.ignore({"resid_pdrop", "embd_pdrop"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
