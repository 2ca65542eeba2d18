#pragma once

#include "greentrainer/models/glm.hpp"

namespace greentrainer {

/// GLM-4-0414 and GLM-Z1: GLM with norms behind attention and feed-forward, too.
struct Glm4 {
  static constexpr std::string_view model_type = "glm4";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = Glm::read_shared(config, model_type);
    d.names.attention_output_norm = "post_self_attn_layernorm";
    d.names.feed_forward_output_norm = "post_mlp_layernorm";
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
