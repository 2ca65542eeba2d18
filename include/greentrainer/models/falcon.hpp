#pragma once

#include "greentrainer/models/causal_decoder_fields.hpp"

namespace greentrainer {

/// Falcon: one projection for queries, keys and values, with one key and value for all heads, or for some; attention
/// and feed-forward side by side, in most of them; rotary positions, no gate.
struct Falcon {
  static constexpr std::string_view model_type = "falcon";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d;
    d.model_type = model_type;
    d.vocab_size = config.positive("vocab_size");
    d.hidden_size = positive_of(config, "hidden_size", "n_embed", max_width);
    d.num_hidden_layers = positive_of(config, "num_hidden_layers", "n_layer", max_layers);
    d.num_attention_heads = positive_of(config, "num_attention_heads", "n_head", d.hidden_size);
    require_divisible(config, "hidden_size", d.hidden_size, "num_attention_heads", d.num_attention_heads);
    d.head_dim = d.hidden_size / d.num_attention_heads;
    require_divisible(config, "head_dim", d.head_dim, "the two halves of a rotary embedding", 2);
    d.intermediate_size = config.positive_or("ffn_hidden_size", 4 * d.hidden_size, max_width);
    d.max_position_embeddings = config.positive_or("max_position_embeddings", 2048);
    d.norm = {.layer_norm = true, .bias = true, .epsilon = epsilon_from(config, "layer_norm_epsilon", 1e-5)};
    d.activation = activation_from(config, "activation", "gelu");
    d.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", true);
    d.rotaries = {rotary_from(config, d.head_dim, d.max_position_embeddings)};
    d.qkv_bias = d.o_bias = d.mlp_bias = config.get_or<bool>("bias", false);
    read_block(config, d);
    config.expect_value("alibi", false);
    config.expect_value("apply_residual_connection_post_layernorm", false);
    finish_config(config);
    return d;
  }

 private:
  static void read_block(const ConfigReader& config, CausalDecoder& d) {
    const bool is_new = config.get_or<bool>("new_decoder_architecture", false);
    const bool multi_query = config.get_or<bool>("multi_query", true);
    d.parallel = config.get_or<bool>("parallel_attn", true);
    const Extent groups = config.positive_or("num_kv_heads", d.num_attention_heads, d.num_attention_heads);
    d.num_key_value_heads = is_new ? groups : multi_query ? 1 : d.num_attention_heads;
    require_divisible(config, "num_attention_heads", d.num_attention_heads, "num_kv_heads", d.num_key_value_heads);
    d.fused_layout = CausalDecoder::FusedLayout::by_head;
    d.names = {.embedding = "transformer.word_embeddings",
               .blocks = "transformer.h.",
               .qkv = "self_attention.query_key_value",
               .o = "self_attention.dense",
               .gate = "",
               .up = "mlp.dense_h_to_4h",
               .down = "mlp.dense_4h_to_h",
               .final_norm = "transformer.ln_f"};
    if (is_new && !d.parallel) config.expect_value("parallel_attn", true);
    const Extent norms = config.positive_or("num_ln_in_parallel_attn", is_new ? 2 : 1, 2);
    if (d.parallel) d.names.feed_forward_input_norm = "";
    if (norms == 1 || !d.parallel) return;
    if (!is_new) config.expect_value("num_ln_in_parallel_attn", 1);
    d.names.attention_input_norm = "ln_attn";
    d.names.feed_forward_input_norm = "ln_mlp";
  }
};

}  // namespace greentrainer
