#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Granite: Llama with multipliers of embeddings, scores and branches, and a divisor of logits.
struct Granite {
  static constexpr std::string_view model_type = "granite";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    read_biases(config, d);
    const auto multiplier = [&](const char* field) {
      return detail::positive_number(config, field, config.get_or<double>(field, 1));
    };
    d.embedding_scale = multiplier("embedding_multiplier");
    d.attention_scale = multiplier("attention_multiplier");
    d.residual_scale = multiplier("residual_multiplier");
    d.logit_scale = 1 / multiplier("logits_scaling");
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
