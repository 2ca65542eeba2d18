#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// SmolLM3: Llama in which every fourth layer has no rotary positions.
struct SmolLm3 {
  static constexpr std::string_view model_type = "smollm3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d =
        causal_decoder_from(config, model_type, {.pad_token_id = 128004, .tied = true, .rotary = {.theta = 2e6}});
    read_biases(config, d);
    const std::vector<Extent> has_rotary = layers_with_rotary(config, d);
    const bool windowed = config.get_or<bool>("use_sliding_window", false) && config.has("sliding_window");
    std::vector<std::string> types = all_layers(d, full_attention);
    for (std::size_t i = 0; i < types.size(); ++i) {
      d.rotary_of_layer.push_back(has_rotary[i] != 0 ? 0 : -1);
      if (has_rotary[i] == 0 && windowed) types[i] = sliding_attention;
    }
    read_window(config, d, {}, layer_types_from(config, d, types));
    config.ignore({"no_rope_layer_interval", "pretraining_tp", "max_window_layers"});
    finish_config(config);
    return d;
  }

 private:
  /// `no_rope_layers`, in which 1 means, against its name, that a layer has rotary positions; or all but every
  /// `no_rope_layer_interval`-th. Throws ConfigError unless there is one for each layer.
  static std::vector<Extent> layers_with_rotary(const ConfigReader& config, const CausalDecoder& d) {
    const auto layers = static_cast<std::size_t>(d.num_hidden_layers);
    if (config.has("no_rope_layers")) {
      const auto given = config.get<std::vector<Extent>>("no_rope_layers");
      if (given.size() == layers) return given;
      throw ConfigError("config", text(config.source(), ", field \"no_rope_layers\""),
                        text("expected one for each of ", layers, " layers, got ", given.size()));
    }
    const Extent interval = config.positive_or("no_rope_layer_interval", 4);
    std::vector<Extent> made(layers, 1);
    for (std::size_t i = 0; i < layers; ++i) made[i] = (static_cast<Extent>(i) + 1) % interval != 0 ? 1 : 0;
    return made;
  }
};

}  // namespace greentrainer
