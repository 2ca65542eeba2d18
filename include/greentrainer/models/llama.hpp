#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Llama 1 to 3.3 and what shares its shape (SmolLM2, TinyStories): RMS norm, rotary positions, SwiGLU, grouped-query
/// attention, tied or untied head.
struct Llama {
  static constexpr std::string_view model_type = "llama";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    d.gguf_rotary_pairs = true;
    d.passed_over = {"rope_freqs.weight"};  // of GGUF files, whose config.json says what it stands for
    read_biases(config, d);
    config.expect_value("rope_interleaved", false);
    config.ignore({"pretraining_tp", "is_llama_config"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
