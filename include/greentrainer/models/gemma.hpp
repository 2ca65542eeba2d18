#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Gemma 1: norms whose weight is stored less one, scaled embeddings, GeGLU, heads of their own size, tied head.
struct Gemma {
  static constexpr std::string_view model_type = "gemma";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(
        config, model_type, {.pad_token_id = 0, .tied = true, .head_dim = 256, .activation = "gelu_pytorch_tanh"});
    d.activation = Activation::gelu_tanh;  // which transformers takes for the published files' "gelu", too
    for (const char* field : {"hidden_act", "hidden_activation"}) {
      if (!config.is(field, "gelu")) config.expect_value(field, "gelu_pytorch_tanh");
    }
    d.norm.offset = 1;
    d.embedding_scale = std::sqrt(static_cast<double>(d.hidden_size));
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    if (!config.is_off("use_bidirectional_attention")) config.expect_value("use_bidirectional_attention", false);
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
