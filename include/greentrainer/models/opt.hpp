#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/models/config_fields.hpp"
#include "greentrainer/models/published_cost.hpp"

namespace greentrainer {

/// OPT: learned positions that start at row 2, biases everywhere, tied head; pre-norm, or post-norm with projections
/// around a narrower embedding (OPT-350M).
struct Opt {
  static constexpr std::string_view model_type = "opt";
  static constexpr Extent position_offset = 2;

  Extent vocab_size = 0;
  Extent hidden_size = 0;
  Extent word_embed_proj_dim = 0;
  Extent ffn_dim = 0;
  Extent num_hidden_layers = 0;
  Extent num_attention_heads = 0;
  Extent max_position_embeddings = 0;
  Activation activation = Activation::relu;
  bool do_layer_norm_before = true;
  bool enable_bias = true;
  bool remove_final_layer_norm = false;
  bool tie_word_embeddings = true;
  std::optional<Extent> padding_row = {};  ///< of the token embedding; see padding_row_from

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static Opt read(const ConfigReader& config) {
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

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return max_position_embeddings; }
  std::string layer_prefix(Extent layer) const { return text("model.decoder.layers.", layer, "."); }
  Extent layers() const { return num_hidden_layers; }
  bool has_final_layer_norm() const { return do_layer_norm_before && !remove_final_layer_norm; }

  TensorTable tensors() const {
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

  /// The published prices of this model's tensors, in multiply-adds, for `batch` padded sequences of `tokens` tokens.
  PaperCost paper_cost(Extent batch, Extent tokens) const {
    return published_decoder_cost(tensors(), hidden_size, batch, tokens);
  }

  template <class P>
  TensorGraph<P> graph(const GraphOptions& options = {}) const {
    TensorGraph<P> graph;
    BlockBuilder<P> b(graph, tensors(), options, {.decoder_layers = num_hidden_layers});
    ValueId x = b.embedding("model.decoder.embed_tokens", {.rows = Rows::decoder_tokens, .padding_row = padding_row});
    if (word_embed_proj_dim != hidden_size) x = b.linear("model.decoder.project_in", x);
    x = b.add(
        "model.decoder.embeddings", x,
        b.embedding("model.decoder.embed_positions",
                    {.rows = Rows::decoder_tokens, .source = Embedding::Source::positions, .offset = position_offset}));
    for (Extent i = 0; i < num_hidden_layers; ++i) {
      const std::string layer = layer_prefix(i);
      x = residual(b, layer + "self_attn_layer_norm", layer + "attention_residual", x,
                   [&](ValueId h) { return self_attention(b, layer, h); });
      x = residual(b, layer + "final_layer_norm", layer + "feed_forward_residual", x,
                   [&](ValueId h) { return feed_forward(b, layer, h); });
    }
    x = b.gather_labelled("labelled_rows", x);
    if (has_final_layer_norm()) x = b.layer_norm("model.decoder.final_layer_norm", x, layer_norm_epsilon);
    if (word_embed_proj_dim != hidden_size) x = b.linear("model.decoder.project_out", x);
    b.cross_entropy_head("lm_head", x, tie_word_embeddings ? "model.decoder.embed_tokens.weight" : "lm_head.weight");
    b.finish();
    return graph;
  }

 private:
  static constexpr Extent max_width = Extent{1} << 20;
  static constexpr Extent max_layers = 4096;
  static constexpr double layer_norm_epsilon = 1e-5;

  template <class P, class Branch>
  ValueId residual(BlockBuilder<P>& b, const std::string& norm, const std::string& sum, ValueId x,
                   Branch branch) const {
    if (do_layer_norm_before) return b.residual(sum, x, branch(b.layer_norm(norm, x, layer_norm_epsilon)));
    return b.layer_norm(norm, b.residual(sum, x, branch(x)), layer_norm_epsilon);
  }
  template <class P>
  ValueId self_attention(BlockBuilder<P>& b, const std::string& layer, ValueId h) const {
    const Extent head_dim = hidden_size / num_attention_heads;
    const ValueId k = b.linear(layer + "self_attn.k_proj", h);
    const ValueId v = b.linear(layer + "self_attn.v_proj", h);
    const ValueId q = b.linear(layer + "self_attn.q_proj", h);
    const ValueId a =
        b.attention(layer + "self_attn", q, k, v, head_dim, 1.0 / std::sqrt(static_cast<double>(head_dim)), true);
    return b.linear(layer + "self_attn.out_proj", a);
  }
  template <class P>
  ValueId feed_forward(BlockBuilder<P>& b, const std::string& layer, ValueId h) const {
    const ValueId a = b.activate(layer + "activation_fn", b.linear(layer + "fc1", h), activation);
    return b.linear(layer + "fc2", a);
  }
};

}  // namespace greentrainer
