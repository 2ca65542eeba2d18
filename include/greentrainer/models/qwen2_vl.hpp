#pragma once

#include "greentrainer/models/qwen2_5_vl.hpp"

namespace greentrainer {

/// Qwen2-VL: its text part, that of Qwen2.5-VL.
struct Qwen2Vl {
  static constexpr std::string_view model_type = "qwen2_vl";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) { return Qwen25Vl::read_as(config, model_type); }
};

}  // namespace greentrainer
