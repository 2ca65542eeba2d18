#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts instead of the feed-forward, and one more that all tokens go to.
struct Qwen2Moe {
  static constexpr std::string_view model_type = "qwen2_moe";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = causal_decoder_from(config, model_type, {});
    d.qkv_bias = config.get_or<bool>("qkv_bias", true);
    read_experts(config, d, {.count = 60, .per_token = 4, .width = 1408});
    d.experts.shared_width = config.positive_or("shared_expert_intermediate_size", 5632, max_width);
    read_layers_of_experts(config, d);
    // Where config.json has no types of layers, every second one slides, up to max_window_layers.
    std::vector<std::string> types = all_layers(d, full_attention);
    const auto end = std::min(config.get_or<Extent>("max_window_layers", 28), d.num_hidden_layers);
    for (Extent i = 0; i < end; i += 2) types[static_cast<std::size_t>(i)] = sliding_attention;
    types = layer_types_from(config, d, types);
    if (config.get_or<bool>("use_sliding_window", false)) read_window(config, d, 4096, types);
    config.ignore({"sliding_window"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
