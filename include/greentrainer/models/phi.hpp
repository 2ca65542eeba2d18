#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Phi-1, 1.5 and 2: attention and feed-forward side by side behind one LayerNorm, rotary positions on half of each
/// head, biases everywhere, on the head too.
struct Phi {
  static constexpr std::string_view model_type = "phi";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.epsilon = 1e-5,
                                           .epsilon_field = "layer_norm_eps",
                                           .activation = "gelu_new",
                                           .rotary = {.rotated_share = 0.5, .follows_rotated_share = true}});
    d.names.o = "self_attn.dense";
    d.names.gate = "";
    d.names.up = "mlp.fc1";
    d.names.down = "mlp.fc2";
    d.names.feed_forward_input_norm = "";
    d.names.final_norm = "model.final_layernorm";
    d.norm.layer_norm = d.norm.bias = d.parallel = true;
    d.qkv_bias = d.o_bias = d.mlp_bias = d.head_bias = true;
    config.expect_value("qk_layernorm", false);
    config.ignore({"resid_pdrop", "embd_pdrop", "attn_pdrop"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
