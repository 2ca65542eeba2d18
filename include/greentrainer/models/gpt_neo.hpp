#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "greentrainer/io/json.hpp"
#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// GPT-Neo: learned positions, scores that are not scaled, and a window of attention in every second layer.
struct GptNeo {
  static constexpr std::string_view model_type = "gpt_neo";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d;
    d.model_type = model_type;
    d.vocab_size = config.positive("vocab_size");
    d.hidden_size = config.positive("hidden_size", max_width);
    d.num_hidden_layers = positive_of(config, "num_layers", "num_hidden_layers", max_layers);
    d.num_attention_heads = d.num_key_value_heads =
        positive_of(config, "num_heads", "num_attention_heads", d.hidden_size);
    require_divisible(config, "hidden_size", d.hidden_size, "num_heads", d.num_attention_heads);
    d.head_dim = d.hidden_size / d.num_attention_heads;
    d.intermediate_size = config.positive_or("intermediate_size", 4 * d.hidden_size, max_width);
    d.max_position_embeddings = config.positive("max_position_embeddings");
    d.window = config.positive_or("window_size", 256);
    d.windowed_layers = local_layers(config, d.num_hidden_layers);
    if (std::ranges::count(d.windowed_layers, true) == 0) d.window = 0;
    d.norm = {.layer_norm = true, .bias = true, .epsilon = epsilon_from(config, "layer_norm_epsilon", 1e-5)};
    d.activation = activation_from(config, "activation_function", "gelu_new");
    d.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", true);
    d.names = {.embedding = "transformer.wte",
               .positions = "transformer.wpe",
               .blocks = "transformer.h.",
               .q = "attn.attention.q_proj",
               .k = "attn.attention.k_proj",
               .v = "attn.attention.v_proj",
               .o = "attn.attention.out_proj",
               .gate = "",
               .up = "mlp.c_fc",
               .down = "mlp.c_proj",
               .attention_input_norm = "ln_1",
               .feed_forward_input_norm = "ln_2",
               .final_norm = "transformer.ln_f"};
    d.o_bias = d.mlp_bias = true;
    d.attention_scale = 1;
    d.passed_over = {"*.attn.attention.bias", "*.attn.attention.masked_bias"};  // masks that older files have
    config.ignore({"attention_layers", "embed_dropout", "resid_dropout", "summary_type", "summary_use_proj",
                   "summary_activation", "summary_proj_to_labels", "summary_first_dropout"});
    finish_config(config);
    return d;
  }

 private:
  /// `attention_types`, a list of [[types of layers], how often], "local" for a window; global and local by turns where
  /// there is none. Throws ConfigError unless it has a type for each layer.
  static std::vector<bool> local_layers(const ConfigReader& config, Extent layers) {
    const auto fail = [&](const auto&... detail) {
      throw ConfigError("config", text(config.source(), ", field \"attention_types\""), text(detail...));
    };
    const Json types = config.get_or<Json>("attention_types", Json::parse(R"([[["global", "local"], 12]])"));
    std::vector<bool> local;
    const auto is_item = [](const Json& item) {
      return item.is_array() && item.size() == 2 && item[0].is_array() && item[1].is_number_unsigned();
    };
    if (!types.is_array() || !std::ranges::all_of(types, is_item))
      fail("expected a list of lists of types with a number each, got another value");
    for (const Json& item : types) {
      for (std::uint64_t i = 0; i < item[1].get<std::uint64_t>(); ++i) {
        for (const Json& type : item[0]) {
          if (type != "local" && type != "global") fail("expected global or local, got ", type.dump());
          local.push_back(type == "local");
        }
        if (item[0].empty() || static_cast<Extent>(local.size()) > layers) break;
      }
    }
    if (static_cast<Extent>(local.size()) != layers)
      fail("expected one for each of ", layers, " layers, got ", local.size());
    return local;
  }
};

}  // namespace greentrainer
