#pragma once

#include "greentrainer/models/gemma2.hpp"

namespace greentrainer {

/// VaultGemma: Gemma 2 without norms behind attention and feed-forward.
struct VaultGemma {
  static constexpr std::string_view model_type = "vaultgemma";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = Gemma2::read_shared(config, model_type, {.score = 50, .logit = 30});
    d.names.attention_output_norm = d.names.feed_forward_output_norm = "";
    read_window(config, d, 4096, layer_types_from(config, d, full_every(d, 2)));
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
