#pragma once

#include <utility>

#include "greentrainer/models/qwen3.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// Qwen3-VL: its text part, Qwen3 whose rotary positions are those of text alone. Images add to the values of its first
/// layers, text does not.
struct Qwen3Vl {
  static constexpr std::string_view model_type = "qwen3_vl";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    Json fields = text_fields_of(config, {{"rope_theta", 500000.0}});
    take_positions_of_text(fields);
    const ConfigReader part = text_config_of(config, std::move(fields));
    CausalDecoder d = Qwen3::read(part);
    make_text_part(config, model_type, false, d);
    return d;
  }
};

}  // namespace greentrainer
