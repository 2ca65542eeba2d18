#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// StableLM: Llama with LayerNorm, rotary positions on a share of each head, and perhaps a parallel feed-forward.
struct StableLm {
  static constexpr std::string_view model_type = "stablelm";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type,
                                          {.epsilon = 1e-5,
                                           .epsilon_field = "layer_norm_eps",
                                           .rotary = {.rotated_share = 0.25, .follows_rotated_share = true}});
    d.norm.layer_norm = d.norm.bias = true;
    d.qkv_bias = config.get_or<bool>("use_qkv_bias", false);
    d.parallel = config.get_or<bool>("use_parallel_residual", false);
    if (d.parallel) d.names.feed_forward_input_norm = "";
    config.expect_value("qk_layernorm", false);
    config.ignore({"rope_pct", "rotary_scaling_factor"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
