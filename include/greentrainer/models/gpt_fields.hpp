#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// The fields that GPT-2, GPT-J and GPT-BigCode have under GPT-2's names: LayerNorm, a plain feed-forward, and biases.
/// Throws ConfigError naming one that is missing or out of range.
inline CausalDecoder gpt_decoder_from(const ConfigReader& config, std::string_view model_type, bool tied,
                                      const std::string& activation = "gelu_new") {
  CausalDecoder d;
  d.model_type = model_type;
  d.vocab_size = config.positive("vocab_size");
  d.hidden_size = positive_of(config, "n_embd", "hidden_size", max_width);
  d.num_hidden_layers = positive_of(config, "n_layer", "num_hidden_layers", max_layers);
  d.num_attention_heads = d.num_key_value_heads = positive_of(config, "n_head", "num_attention_heads", d.hidden_size);
  require_divisible(config, "n_embd", d.hidden_size, "n_head", d.num_attention_heads);
  d.head_dim = d.hidden_size / d.num_attention_heads;
  d.intermediate_size = config.positive_or("n_inner", 4 * d.hidden_size, max_width);
  d.max_position_embeddings =
      positive_of(config, "n_positions", "max_position_embeddings", std::numeric_limits<Index>::max());
  d.activation = activation_from(config, "activation_function", activation);
  d.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", tied);
  d.names = {.embedding = "transformer.wte",
             .blocks = "transformer.h.",
             .gate = "",
             .attention_input_norm = "ln_1",
             .feed_forward_input_norm = "ln_2",
             .final_norm = "transformer.ln_f"};
  d.norm = {.layer_norm = true, .bias = true, .epsilon = epsilon_from(config, "layer_norm_epsilon", 1e-5)};
  d.mlp_bias = true;
  config.expect_value("scale_attn_weights", true);
  config.expect_value("scale_attn_by_inverse_layer_idx", false);
  config.ignore({"n_ctx", "attn_pdrop", "embd_pdrop", "resid_pdrop", "reorder_and_upcast_attn", "summary_type",
                 "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
                 "gradient_checkpointing"});
  return d;
}

}  // namespace greentrainer
