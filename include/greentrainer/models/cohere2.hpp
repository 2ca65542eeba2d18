#pragma once

#include "greentrainer/models/cohere.hpp"

namespace greentrainer {

/// Cohere's Command R7B: Command R with a window of attention in three of four layers; the fourth has no rotary
/// positions.
struct Cohere2 {
  static constexpr std::string_view model_type = "cohere2";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = Cohere::read_shared(config, model_type);
    const Extent period = config.positive_or("sliding_window_pattern", 4);
    const auto types = layer_types_from(config, d, full_every(d, period));
    for (const std::string& type : types) d.rotary_of_layer.push_back(type == sliding_attention ? 0 : -1);
    read_window(config, d, 4096, types);
    config.ignore({"sliding_window_pattern", "_sliding_window_pattern", "order_of_interleaved_layers",
                   "position_embedding_type", "rotary_pct", "use_embedding_sharing", "use_gated_activation",
                   "use_parallel_block", "use_parallel_embedding", "layer_switch", "cache_implementation"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
