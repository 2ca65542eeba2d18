#pragma once

#include <cmath>
#include <string>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/models/config_fields.hpp"
#include "greentrainer/models/published_cost.hpp"

namespace greentrainer {

/// BLOOM and BLOOMZ: ALiBi instead of positions, a layer norm on the embedding, one projection for queries, keys and
/// values (side by side in each head), biases everywhere, tied head.
struct Bloom {
  static constexpr std::string_view model_type = "bloom";

  Extent vocab_size = 0;
  Extent hidden_size = 0;
  Extent n_layer = 0;
  Extent n_head = 0;
  double layer_norm_epsilon = 1e-5;
  bool apply_residual_connection_post_layernorm = false;
  bool tie_word_embeddings = true;

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static Bloom read(const ConfigReader& config);

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return unlimited_positions; }
  std::string layer_prefix(Extent layer) const { return text("transformer.h.", layer, "."); }
  Extent layers() const { return n_layer; }

  TensorTable tensors() const;

  /// The published prices of this model's tensors, in multiply-adds, for `batch` padded sequences of `tokens` tokens.
  PaperCost paper_cost(Extent batch, Extent tokens) const;

  template <class P>
  TensorGraph<P> graph(const GraphOptions& options = {}) const {
    TensorGraph<P> graph;
    BlockBuilder<P> b(graph, tensors(), options, {.decoder_layers = n_layer});
    const Extent head_dim = hidden_size / n_head;
    const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
    const auto norm = [&](const std::string& name, ValueId x) { return b.layer_norm(name, x, layer_norm_epsilon); };
    const auto residual_of = [&](ValueId x, ValueId normed) {
      return apply_residual_connection_post_layernorm ? normed : x;
    };
    ValueId x = b.embedding("transformer.word_embeddings", {.rows = Rows::decoder_tokens});
    x = norm("transformer.word_embeddings_layernorm", x);
    for (Extent i = 0; i < n_layer; ++i) {
      const std::string layer = layer_prefix(i);
      const ValueId h = norm(layer + "input_layernorm", x);
      const ValueId qkv = b.linear(layer + "self_attention.query_key_value", h);
      const ValueId a = b.linear(layer + "self_attention.dense",
                                 b.fused_attention(layer + "self_attention", qkv, head_dim, scale, true));
      x = b.residual(layer + "attention_residual", residual_of(x, h), a);
      const ValueId n = norm(layer + "post_attention_layernorm", x);
      const ValueId m =
          b.activate(layer + "mlp.gelu_impl", b.linear(layer + "mlp.dense_h_to_4h", n), Activation::gelu_tanh);
      x = b.residual(layer + "mlp_residual", residual_of(x, n), b.linear(layer + "mlp.dense_4h_to_h", m));
    }
    x = norm("transformer.ln_f", b.gather_labelled("labelled_rows", x));
    b.cross_entropy_head("lm_head", x, tie_word_embeddings ? "transformer.word_embeddings.weight" : "lm_head.weight");
    b.finish();
    return graph;
  }

 private:
  static constexpr Extent max_width = Extent{1} << 20;
  static constexpr Extent max_layers = 4096;
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/bloom_inl.hpp"
#endif
