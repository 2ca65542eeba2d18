#pragma once

#include "greentrainer/models/mistral.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// Mistral Small 3.1 and 3.2, which read images too: their text part.
struct Mistral3 {
  static constexpr std::string_view model_type = "mistral3";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    const ConfigReader part = text_config_of(config, text_fields_of(config, Json::object()));
    part.expect_value("model_type", std::string(Mistral::model_type));
    CausalDecoder d = Mistral::read(part);
    make_text_part(config, model_type, true, d);
    return d;
  }
};

}  // namespace greentrainer
