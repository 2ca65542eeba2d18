#pragma once

#include "greentrainer/models/opt.hpp"

namespace greentrainer {

GREENTRAINER_INLINE Opt Opt::read(const ConfigReader& config) {
  Opt c;
  c.vocab_size = config.positive("vocab_size");
  c.hidden_size = config.positive("hidden_size", max_width);
  c.word_embed_proj_dim = config.positive_or("word_embed_proj_dim", c.hidden_size, max_width);
  c.ffn_dim = config.positive("ffn_dim", max_width);
  c.num_hidden_layers = config.positive("num_hidden_layers", max_layers);
  c.num_attention_heads = config.positive("num_attention_heads", c.hidden_size);
  require_divisible(config, "hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
  c.max_position_embeddings = config.positive("max_position_embeddings");
  c.activation = activation_from(config, "activation_function", "relu");
  c.do_layer_norm_before = config.get_or<bool>("do_layer_norm_before", true);
  c.enable_bias = config.get_or<bool>("enable_bias", true);
  c.remove_final_layer_norm = config.get_or<bool>("_remove_final_layer_norm", false);
  c.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", true);
  c.padding_row = padding_row_from(config, c.vocab_size, 1);
  config.expect_value("layer_norm_elementwise_affine", true);
  finish_config(config);
  return c;
}

GREENTRAINER_INLINE TensorTable Opt::tensors() const {
  using TensorRole::position_embedding, TensorRole::embedding_projection, TensorRole::linear, TensorRole::value,
      TensorRole::head;
  TensorTable t;
  t.embedding("model.decoder.embed_tokens", vocab_size, word_embed_proj_dim);
  t.embedding("model.decoder.embed_positions", max_position_embeddings + position_offset, hidden_size,
              position_embedding);
  if (word_embed_proj_dim != hidden_size) {
    t.linear("model.decoder.project_out", hidden_size, word_embed_proj_dim, false, embedding_projection);
    t.linear("model.decoder.project_in", word_embed_proj_dim, hidden_size, false, embedding_projection);
  }
  if (has_final_layer_norm()) t.norm("model.decoder.final_layer_norm", hidden_size, true);
  for (Extent i = 0; i < num_hidden_layers; ++i) {
    const std::string layer = layer_prefix(i), attention = layer + "self_attn.";
    t.linear(attention + "k_proj", hidden_size, hidden_size, enable_bias);
    t.linear(attention + "v_proj", hidden_size, hidden_size, enable_bias, value, true);
    t.linear(attention + "q_proj", hidden_size, hidden_size, enable_bias, linear, true);
    t.linear(attention + "out_proj", hidden_size, hidden_size, enable_bias);
    t.norm(layer + "self_attn_layer_norm", hidden_size, true);
    t.linear(layer + "fc1", hidden_size, ffn_dim, enable_bias);
    t.linear(layer + "fc2", ffn_dim, hidden_size, enable_bias);
    t.norm(layer + "final_layer_norm", hidden_size, true);
  }
  if (tie_word_embeddings)
    t.head = TiedHead{"lm_head.weight", "model.decoder.embed_tokens.weight"};
  else
    t.embedding("lm_head", vocab_size, word_embed_proj_dim, head);
  return t;
}

GREENTRAINER_INLINE PaperCost Opt::paper_cost(Extent batch, Extent tokens) const {
  return published_decoder_cost(tensors(), hidden_size, batch, tokens);
}

}  // namespace greentrainer
