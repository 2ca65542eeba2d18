#pragma once

#include <string>
#include <utility>

#include "greentrainer/io/json.hpp"
#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// What describes the text part of a model that reads images too: config.json's text_config, over `defaults`. Throws
/// ConfigError unless it is an object.
inline Json text_fields_of(const ConfigReader& config, Json defaults) {
  if (config.section("text_config")) defaults.update(config.get<Json>("text_config"));
  return defaults;
}
inline ConfigReader text_config_of(const ConfigReader& config, Json fields) {
  return {std::move(fields), text(config.source(), ", field \"text_config\"")};
}

/// Text has one position a token, so that it does not matter which rotary pairs turn by which of three.
inline void take_positions_of_text(Json& fields) {
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const auto section = fields.find(name);
    if (section == fields.end() || !section->is_object()) continue;
    section->erase("mrope_section");
    section->erase("mrope_interleaved");
    for (const char* type : {"type", "rope_type"}) {
      if (section->contains(type) && (*section)[type] == "mrope") (*section)[type] = "default";
    }
  }
}

/// Makes a decoder the text part of such a model: its tensors stand among those of the other parts, which are saved as
/// they were. Reads the rest of config.json; throws ConfigError for a field of unknown meaning.
inline void make_text_part(const ConfigReader& config, std::string_view model_type, bool tied, CausalDecoder& d) {
  d.model_type = model_type;
  d.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", tied);
  d.names.embedding = "model.language_model.embed_tokens";
  d.names.blocks = "model.language_model.layers.";
  d.names.final_norm = "model.language_model.norm";
  for (const char* part : {"vision_tower.*", "multi_modal_projector.*", "visual.*"}) {
    d.other_parts.push_back(part);
    d.other_parts.push_back(text("model.", part));
  }
  config.ignore({"text_config", "vision_config", "image_token_index", "image_token_id", "boi_token_index",
                 "eoi_token_index", "mm_tokens_per_image", "video_token_id", "vision_start_token_id",
                 "vision_end_token_id", "vision_token_id", "vision_feature_layer", "multimodal_projector_bias",
                 "projector_hidden_act", "spatial_merge_size", "image_seq_length", "vision_feature_select_strategy",
                 "downsample_ratio"});
  finish_config(config);
}

}  // namespace greentrainer
