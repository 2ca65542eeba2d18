#pragma once

#include <utility>

#include "greentrainer/models/architecture_list.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/mistral.hpp"
#include "greentrainer/models/qwen2.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// LLaVA 1.5: its text part, a Llama, Mistral or Qwen2.
struct Llava {
  static constexpr std::string_view model_type = "llava";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    Json fields = text_fields_of(config, {{"model_type", "llama"}});
    if (fields["model_type"] == "llama") {
      const Json llama = {{"vocab_size", 32000},     {"hidden_size", 4096},       {"intermediate_size", 11008},
                          {"num_hidden_layers", 32}, {"num_attention_heads", 32}, {"max_position_embeddings", 2048}};
      fields = text_fields_of(config, llama);
      fields["model_type"] = "llama";
    }
    const ConfigReader part = text_config_of(config, std::move(fields));
    CausalDecoder d = Architectures<Llama, Mistral, Qwen2>::read(part, [](const CausalDecoder& text) { return text; });
    make_text_part(config, model_type, false, d);
    return d;
  }
};

}  // namespace greentrainer
