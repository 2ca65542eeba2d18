#pragma once

#include "greentrainer/models/gemma3_text.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// Gemma 3 that reads images too (4B and larger): its text part.
struct Gemma3 {
  static constexpr std::string_view model_type = "gemma3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    const ConfigReader part = text_config_of(config, text_fields_of(config, {{"vocab_size", 262208},
                                                                             {"hidden_size", 2304},
                                                                             {"intermediate_size", 9216},
                                                                             {"num_hidden_layers", 26},
                                                                             {"num_attention_heads", 8},
                                                                             {"num_key_value_heads", 4},
                                                                             {"max_position_embeddings", 131072}}));
    part.expect_value("model_type", std::string(Gemma3Text::model_type));
    CausalDecoder d = Gemma3Text::read(part);
    make_text_part(config, model_type, true, d);
    return d;
  }
};

}  // namespace greentrainer
