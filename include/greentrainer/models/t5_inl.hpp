#pragma once

#include "greentrainer/models/t5.hpp"

namespace greentrainer {

GREENTRAINER_INLINE T5 T5::read(const ConfigReader& config) {
  T5 c;
  c.vocab_size = config.positive("vocab_size");
  c.d_model = config.positive("d_model", max_width);
  c.d_kv = config.positive("d_kv", max_width);
  c.d_ff = config.positive("d_ff", max_width);
  c.num_layers = config.positive("num_layers", max_layers);
  c.num_decoder_layers = config.positive_or("num_decoder_layers", c.num_layers, max_layers);
  c.num_heads = config.positive("num_heads", max_width);
  require_width(config, "num_heads", c.num_heads, "d_kv", c.d_kv, max_width);
  c.read_relative_bias(config);
  c.read_feed_forward(config);
  c.layer_norm_epsilon = epsilon_from(config, "layer_norm_epsilon", 1e-6);
  // Published files say with tie_word_embeddings whether the head is tied and its input scaled. transformers 5 writes
  // true for all, and says with scale_decoder_outputs whether it is scaled; whether it is tied is then the
  // checkpoint's word (TensorTable::head). Scaled heads are tied, others have weights of their own in what is
  // published.
  const bool tied = config.get_or<bool>("tie_word_embeddings", true);
  c.scale_decoder_outputs =
      config.get_or<bool>("scale_decoder_outputs", tied && !config.is_null("scale_decoder_outputs"));
  c.tie_word_embeddings = tied && c.scale_decoder_outputs;
  c.shift.pad = c.token_id(config, "pad_token_id", 0);
  c.shift.start = c.token_id(config, "decoder_start_token_id", c.shift.pad);
  config.expect_value("tie_encoder_decoder", false);
  config.expect_value("is_encoder_decoder", true);
  config.ignore({"n_positions", "dropout_rate", "initializer_factor", "output_past"});
  finish_config(config);
  return c;
}

GREENTRAINER_INLINE std::string T5::layer_prefix(Extent layer) const {
  return layer < num_layers ? block("encoder", layer) : block("decoder", layer - num_layers);
}

GREENTRAINER_INLINE TensorTable T5::tensors() const {
  using TensorRole::linear, TensorRole::value, TensorRole::token_embedding, TensorRole::relative_bias, TensorRole::head;
  TensorTable t;
  const auto norm = [&](const std::string& name) { t.norm(name, d_model, false); };
  const auto attention = [&](const std::string& name) {
    t.linear(name + ".q", d_model, num_heads * d_kv, false, linear, true);
    t.linear(name + ".k", d_model, num_heads * d_kv, false);
    t.linear(name + ".v", d_model, num_heads * d_kv, false, value, true);
    t.linear(name + ".o", num_heads * d_kv, d_model, false);
  };
  const auto feed_forward = [&](const std::string& name) {
    for (const std::string projection : is_gated ? std::vector{".wi_0", ".wi_1"} : std::vector{".wi"})
      t.linear(name + projection, d_model, d_ff, false);
    t.add({.name = name + ".wo.weight", .shape = {d_model, d_ff}, .kept_in_float32 = true});
  };
  t.add({.name = "shared.weight",
         .shape = {vocab_size, d_model},
         .role = token_embedding,
         .other_names = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}});
  for (const std::string stack : {"encoder", "decoder"}) {
    const bool decoder = stack == "decoder";
    for (Extent i = 0; i < (decoder ? num_decoder_layers : num_layers); ++i) {
      const std::string layer = block(stack, i) + "layer.";
      attention(layer + "0.SelfAttention");
      if (i == 0) t.add({.name = relative_table(stack), .shape = {relative.buckets, num_heads}, .role = relative_bias});
      norm(layer + "0.layer_norm");
      if (decoder) {
        attention(layer + "1.EncDecAttention");
        norm(layer + "1.layer_norm");
      }
      feed_forward(layer + (decoder ? "2" : "1") + ".DenseReluDense");
      norm(layer + (decoder ? "2" : "1") + ".layer_norm");
    }
    norm(stack + ".final_layer_norm");
  }
  if (!tie_word_embeddings) t.embedding("lm_head", vocab_size, d_model, head);
  // The head is tied whatever config.json says, unless the file has one of its own.
  t.head = TiedHead{"lm_head.weight", "shared.weight"};
  t.passed_over = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"};
  return t;
}

GREENTRAINER_INLINE PaperCost T5::paper_cost(Extent batch, Extent source_tokens, Extent target_tokens) const {
  return published_encoder_decoder_cost(tensors(), "encoder.", "EncDecAttention", batch, source_tokens, target_tokens);
}

GREENTRAINER_INLINE void T5::read_relative_bias(const ConfigReader& config) {
  relative.buckets = config.positive_or("relative_attention_num_buckets", 32, max_buckets);
  relative.max_distance = config.positive_or("relative_attention_max_distance", 128, unlimited_positions);
  require_divisible(config, "relative_attention_num_buckets", relative.buckets,
                    "the two directions, and near and far in each", 4);
  if (relative.max_distance <= relative.buckets / 2) {
    throw ConfigError(
        "config", text(config.source(), ", field \"relative_attention_max_distance\""),
        text("expected more than half of the ", relative.buckets, " buckets, got ", relative.max_distance));
  }
}

GREENTRAINER_INLINE void T5::read_feed_forward(const ConfigReader& config) {
  std::string name = config.get_or<std::string>("feed_forward_proj", "relu");
  is_gated = name.starts_with("gated-");
  if (is_gated) name = name.substr(std::string_view("gated-").size());
  if (is_gated && name == "gelu") name = "gelu_new";
  activation = activation_named(config, "feed_forward_proj", name);
  config.expect_value("dense_act_fn", name);
  config.expect_value("is_gated_act", is_gated);
}

GREENTRAINER_INLINE Index T5::token_id(const ConfigReader& config, std::string_view field, Index fallback) const {
  const Extent id = config.get_or<Extent>(field, fallback);
  if (id < 0 || id >= vocab_size) {
    throw ConfigError("config", text(config.source(), ", field \"", field, "\""),
                      text("expected a token id from 0 to ", vocab_size - 1, ", got ", id));
  }
  return static_cast<Index>(id);
}

GREENTRAINER_INLINE std::string T5::relative_table(const std::string& stack) {
  return block(stack, 0) + "layer.0.SelfAttention.relative_attention_bias.weight";
}

}  // namespace greentrainer
