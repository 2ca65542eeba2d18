#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Arcee's AFM: Llama with a plain feed-forward of squared ReLU.
struct Arcee {
  static constexpr std::string_view model_type = "arcee";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {.epsilon = 1e-5, .activation = "relu2"});
    d.names.gate = "";
    read_biases(config, d);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
