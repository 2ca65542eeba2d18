#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Ministral: Mistral with a window in some layers.
struct Ministral {
  static constexpr std::string_view model_type = "ministral";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    read_window(config, d, 4096, layer_types_from(config, d, all_layers(d, sliding_attention)));
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
