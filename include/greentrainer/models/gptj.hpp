#pragma once

#include "greentrainer/models/gpt_fields.hpp"

namespace greentrainer {

/// GPT-J: attention and feed-forward side by side behind one LayerNorm, rotary positions on neighbouring columns of
/// some of each head, biases in the feed-forward and on the head.
struct GptJ {
  static constexpr std::string_view model_type = "gptj";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = gpt_decoder_from(config, model_type, false);
    d.names.q = "attn.q_proj";
    d.names.k = "attn.k_proj";
    d.names.v = "attn.v_proj";
    d.names.o = "attn.out_proj";
    d.names.up = "mlp.fc_in";
    d.names.down = "mlp.fc_out";
    d.names.feed_forward_input_norm = "";
    d.parallel = d.head_bias = true;
    const Extent rotated = config.positive_or("rotary_dim", 64, d.head_dim);
    require_divisible(config, "rotary_dim", rotated, "the two columns of a pair", 2);
    d.rotaries = {{.head_dim = d.head_dim, .rotated = rotated, .interleaved = true}};
    d.passed_over = {"*.attn.bias", "*.attn.masked_bias"};  // masks that older files have
    config.ignore({"rotary", "scale_attn_weights"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
