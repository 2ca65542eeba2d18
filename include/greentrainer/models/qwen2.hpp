#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values. A window of attention, if it is used, is that of
/// the upper layers.
struct Qwen2 {
  static constexpr std::string_view model_type = "qwen2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    d.qkv_bias = true;
    read_qwen_window(config, d);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
