#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// HyperCLOVA X: Granite's multipliers, logits multiplied instead of divided, and perhaps norms behind attention and
/// feed-forward, too.
struct HyperClovaX {
  static constexpr std::string_view model_type = "hyperclovax";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    read_biases(config, d);
    if (config.get_or<bool>("use_post_norm", true)) {
      d.names.attention_output_norm = "post_norm1";
      d.names.feed_forward_output_norm = "post_norm2";
    }
    const auto multiplier = [&](const char* field, double fallback) {
      return detail::positive_number(config, field, config.get_or<double>(field, fallback));
    };
    d.embedding_scale = multiplier("embedding_multiplier", 1);
    d.attention_scale = multiplier("attention_multiplier", 1 / std::sqrt(static_cast<double>(d.head_dim)));
    d.residual_scale = multiplier("residual_multiplier", 1);
    d.logit_scale = multiplier("logits_scaling", 1);
    config.ignore({"resid_pdrop", "embd_pdrop"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
