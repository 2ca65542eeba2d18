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
  static Opt read(const ConfigReader& config);

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return max_position_embeddings; }
  std::string layer_prefix(Extent layer) const { return text("model.decoder.layers.", layer, "."); }
  Extent layers() const { return num_hidden_layers; }
  bool has_final_layer_norm() const { return do_layer_norm_before && !remove_final_layer_norm; }

  TensorTable tensors() const;

  /// The published prices of this model's tensors, in multiply-adds, for `batch` padded sequences of `tokens` tokens.
  PaperCost paper_cost(Extent batch, Extent tokens) const;

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

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/opt_inl.hpp"
#endif
