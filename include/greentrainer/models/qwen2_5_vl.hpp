#pragma once

#include <utility>

#include "greentrainer/models/qwen2.hpp"
#include "greentrainer/models/text_part.hpp"

namespace greentrainer {

/// Qwen2.5-VL: its text part, Qwen2 whose rotary positions are those of text alone.
struct Qwen25Vl {
  static constexpr std::string_view model_type = "qwen2_5_vl";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) { return read_as(config, model_type); }
  /// The same of a family that differs in what it makes of images.
  static CausalDecoder read_as(const ConfigReader& config, std::string_view type) {
    Json fields = {{"rope_theta", 1e6}, {"rms_norm_eps", 1e-5}, {"max_window_layers", 80}};
    if (!config.has("text_config")) take_own_fields(config, fields);
    fields = text_fields_of(config, std::move(fields));
    take_positions_of_text(fields);
    const ConfigReader part = text_config_of(config, std::move(fields));
    CausalDecoder d = Qwen2::read(part);
    const bool tied_by_text = d.tie_word_embeddings;
    make_text_part(config, type, false, d);
    d.tie_word_embeddings = d.tie_word_embeddings || tied_by_text;  // as transformers 4 wrote it
    return d;
  }

 private:
  /// Older files have no text_config: all but the fields of other parts are the text's.
  static void take_own_fields(const ConfigReader& config, Json& fields) {
    for (const char* name : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                             "num_attention_heads", "num_key_value_heads", "hidden_act", "max_position_embeddings",
                             "pad_token_id", "rms_norm_eps", "use_sliding_window", "sliding_window",
                             "max_window_layers", "layer_types", "rope_theta", "rope_scaling", "rope_parameters"}) {
      if (config.has(name))
        fields[name] = config.get<Json>(name);
      else if (config.is_null(name))
        fields[name] = nullptr;
    }
  }
};

}  // namespace greentrainer
