#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Cohere's Command R: attention and feed-forward side by side behind one LayerNorm without bias, rotary positions on
/// neighbouring columns, scaled logits.
struct Cohere {
  static constexpr std::string_view model_type = "cohere";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = read_shared(config, model_type);
    config.expect_value("use_qk_norm", false);
    config.ignore({"use_parallel_block", "use_gated_activation"});
    finish_config(config);
    return d;
  }

  /// What Command R7B shares.
  static CausalDecoder read_shared(const ConfigReader& config, std::string_view type) {
    CausalDecoder d = causal_decoder_from(config, type,
                                          {.pad_token_id = 0,
                                           .epsilon = 1e-5,
                                           .epsilon_field = "layer_norm_eps",
                                           .tied = true,
                                           .rotary = {.theta = 500000, .interleaved = true}});
    d.names.feed_forward_input_norm = "";
    d.norm.layer_norm = d.parallel = true;
    d.qkv_bias = d.o_bias = config.get_or<bool>("attention_bias", false);
    d.logit_scale = detail::positive_number(config, "logit_scale", config.get_or<double>("logit_scale", 0.0625));
    return d;
  }
};

}  // namespace greentrainer
