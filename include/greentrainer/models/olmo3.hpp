#pragma once

#include "greentrainer/models/olmo2.hpp"

namespace greentrainer {

/// OLMo 3: OLMo 2 with a window of attention in three of four layers; only the fourth has scaled rotary positions.
struct Olmo3 {
  static constexpr std::string_view model_type = "olmo3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d =
        causal_decoder_from(config, model_type, {.pad_token_id = 1, .epsilon = 1e-5, .reads_rotary = false});
    Olmo2::read(config, d);
    read_layer_rotaries(config, d, {.full_theta = 500000, .sliding_theta = 500000, .period = 4, .window = 4096});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
