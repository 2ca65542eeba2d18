#pragma once

#include "greentrainer/models/bloom.hpp"

namespace greentrainer {

GREENTRAINER_INLINE Bloom Bloom::read(const ConfigReader& config) {
  Bloom c;
  c.vocab_size = config.positive("vocab_size");
  c.hidden_size = positive_of(config, "hidden_size", "n_embed", max_width);
  c.n_layer = positive_of(config, "n_layer", "num_hidden_layers", max_layers);
  c.n_head = positive_of(config, "n_head", "num_attention_heads", c.hidden_size);
  require_divisible(config, "hidden_size", c.hidden_size, "n_head", c.n_head);
  c.layer_norm_epsilon = epsilon_from(config, "layer_norm_epsilon", 1e-5);
  c.apply_residual_connection_post_layernorm = config.get_or<bool>("apply_residual_connection_post_layernorm", false);
  c.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", true);
  config.expect_value("n_inner", 4 * c.hidden_size);
  config.expect_value("slow_but_exact", false);  // leaves biases out
  config.ignore({"seq_length", "offset_alibi", "pretraining_tp", "attention_softmax_in_fp32", "bias_dropout_fusion",
                 "masked_softmax_fusion", "skip_bias_add", "skip_bias_add_qkv"});
  finish_config(config);
  return c;
}

GREENTRAINER_INLINE TensorTable Bloom::tensors() const {
  using TensorRole::value, TensorRole::head;
  TensorTable t;
  t.embedding("transformer.word_embeddings", vocab_size, hidden_size);
  t.norm("transformer.word_embeddings_layernorm", hidden_size, true);
  for (Extent i = 0; i < n_layer; ++i) {
    const std::string layer = layer_prefix(i);
    t.norm(layer + "input_layernorm", hidden_size, true);
    t.linear(layer + "self_attention.query_key_value", hidden_size, 3 * hidden_size, true, value, true);
    t.linear(layer + "self_attention.dense", hidden_size, hidden_size, true);
    t.norm(layer + "post_attention_layernorm", hidden_size, true);
    t.linear(layer + "mlp.dense_h_to_4h", hidden_size, 4 * hidden_size, true);
    t.linear(layer + "mlp.dense_4h_to_h", 4 * hidden_size, hidden_size, true);
  }
  t.norm("transformer.ln_f", hidden_size, true);
  if (tie_word_embeddings)
    t.head = TiedHead{"lm_head.weight", "transformer.word_embeddings.weight"};
  else
    t.embedding("lm_head", vocab_size, hidden_size, head);
  return t;
}

GREENTRAINER_INLINE PaperCost Bloom::paper_cost(Extent batch, Extent tokens) const {
  return published_decoder_cost(tensors(), hidden_size, batch, tokens);
}

}  // namespace greentrainer
