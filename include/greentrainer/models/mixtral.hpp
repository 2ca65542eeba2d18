#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Mixtral: Mistral with experts, of which a token has two, instead of the feed-forward.
struct Mixtral {
  static constexpr std::string_view model_type = "mixtral";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.epsilon = 1e-5, .rotary = {.theta = 1e6}});
    read_window(config, d, {}, all_layers(d, sliding_attention));
    read_experts(config, d, {.width_field = "intermediate_size", .normalised = true});
    d.experts.router = "block_sparse_moe.gate";
    d.experts.prefix = "block_sparse_moe.experts.";
    d.experts.gate = "w1";
    d.experts.up = "w3";
    d.experts.down = "w2";
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
