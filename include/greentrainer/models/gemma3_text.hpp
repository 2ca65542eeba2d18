#pragma once

#include "greentrainer/models/gemma2.hpp"

namespace greentrainer {

/// Gemma 3, of text alone: Gemma 2 with norms on queries and keys, too, and a window of attention in five of six
/// layers, whose rotary positions are others.
struct Gemma3Text {
  static constexpr std::string_view model_type = "gemma3_text";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = Gemma2::read_shared(config, model_type, {}, false);
    d.names.q_norm = "self_attn.q_norm";
    d.names.k_norm = "self_attn.k_norm";
    d.head_norm = CausalDecoder::HeadNorm::each_head;
    const Extent period =
        config.positive_or("sliding_window_pattern", config.positive_or("_sliding_window_pattern", 6));
    read_layer_rotaries(config, d,
                        {.full_theta = 1e6,
                         .sliding_theta = 10000,
                         .sliding_theta_field = "rope_local_base_freq",
                         .period = period,
                         .window = 4096});
    if (!config.is_off("use_bidirectional_attention")) config.expect_value("use_bidirectional_attention", false);
    config.ignore({"cache_implementation"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
