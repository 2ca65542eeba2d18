#pragma once

#include "greentrainer/models/architecture_list.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/qwen2.hpp"
#include "greentrainer/models/qwen3.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// InternVL 3 and 3.5: its text part, a Qwen2, Qwen3 or Llama.
struct InternVl {
  static constexpr std::string_view model_type = "internvl";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    const ConfigReader part = text_config_of(config, text_fields_of(config, {{"model_type", "qwen2"}}));
    CausalDecoder d = Architectures<Qwen2, Qwen3, Llama>::read(part, [](const CausalDecoder& text) { return text; });
    make_text_part(config, model_type, true, d);
    return d;
  }
};

}  // namespace greentrainer
