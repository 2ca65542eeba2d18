#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Meta's Code World Model: Llama with heads of their own size, and a window of attention in three of four layers.
struct Cwm {
  static constexpr std::string_view model_type = "cwm";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d =
        causal_decoder_from(config, model_type, {.epsilon = 1e-5, .head_dim = 128, .rotary = {.theta = 1e6}});
    if (config.is_off("rope_scaling") && config.is_off("rope_parameters"))
      d.rotaries.front() = {
          .head_dim = d.head_dim, .theta = 1e6, .scaling = scaling_of_8k()};  // whatever rope_theta is
    std::vector<std::string> types = all_layers(d, sliding_attention);
    for (std::size_t i = 0; i < types.size(); i += 4) types[i] = full_attention;
    read_window(config, d, 8192, layer_types_from(config, d, types));
    d.mlp_bias = config.get_or<bool>("mlp_bias", false);
    config.ignore({"pretraining_tp"});
    finish_config(config);
    return d;
  }

 private:
  /// Where config.json has none.
  static RotaryScaling scaling_of_8k() {
    return {.kind = RotaryScaling::Kind::llama3,
            .factor = 16,
            .original_positions = 8192,
            .low_frequency_factor = 1,
            .high_frequency_factor = 4};
  }
};

}  // namespace greentrainer
