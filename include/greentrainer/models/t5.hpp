#pragma once

#include <cmath>
#include <string>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/core/batch.hpp"
#include "greentrainer/models/config_fields.hpp"
#include "greentrainer/models/published_cost.hpp"

namespace greentrainer {

/// T5 and FLAN-T5: encoder and decoder with RMS norms and no biases but those of relative positions, which the first
/// block of each stack holds for all. Plain or gated feed-forward; scores are not scaled; the head is tied and its
/// input scaled by d_model^-0.5, or it has weights of its own.
struct T5 {
  static constexpr std::string_view model_type = "t5";

  Extent vocab_size = 0;
  Extent d_model = 0;
  Extent d_kv = 0;
  Extent d_ff = 0;
  Extent num_layers = 0;
  Extent num_decoder_layers = 0;
  Extent num_heads = 0;
  RelativeBias relative = {.buckets = 32};
  double layer_norm_epsilon = 1e-6;
  Activation activation = Activation::relu;
  bool is_gated = false;
  bool tie_word_embeddings = true;
  bool scale_decoder_outputs = true;
  TargetShift shift;

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static T5 read(const ConfigReader& config);

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return unlimited_positions; }
  /// Of the encoder's blocks, then the decoder's.
  std::string layer_prefix(Extent layer) const;
  Extent layers() const { return num_layers + num_decoder_layers; }
  TargetShift target_shift() const { return shift; }

  TensorTable tensors() const;

  /// The published prices of this model's tensors, in multiply-adds, for `batch` padded sequences of these lengths.
  PaperCost paper_cost(Extent batch, Extent source_tokens, Extent target_tokens) const;

  template <class P>
  TensorGraph<P> graph(const GraphOptions& options = {}) const {
    TensorGraph<P> graph;
    BlockBuilder<P> b(graph, tensors(), options, {.decoder_layers = num_decoder_layers, .encoder_decoder = true});
    ValueId x = b.embedding("shared", {.rows = Rows::encoder_tokens});
    for (Extent i = 0; i < num_layers; ++i) {
      x = self_attention(b, "encoder", i, x);
      x = feed_forward(b, block("encoder", i) + "layer.1.", x);
    }
    const ValueId memory = b.rms_norm("encoder.final_layer_norm", x, layer_norm_epsilon);
    x = b.embedding("shared", {.rows = Rows::decoder_tokens});
    for (Extent i = 0; i < num_decoder_layers; ++i) {
      x = self_attention(b, "decoder", i, x);
      x = cross_attention(b, block("decoder", i) + "layer.1.", x, memory);
      x = feed_forward(b, block("decoder", i) + "layer.2.", x);
    }
    x = b.rms_norm("decoder.final_layer_norm", b.gather_labelled("labelled_rows", x), layer_norm_epsilon);
    if (scale_decoder_outputs) x = b.scale("decoder.output_scale", x, 1.0 / std::sqrt(static_cast<double>(d_model)));
    b.cross_entropy_head("lm_head", x, tie_word_embeddings ? "shared.weight" : "lm_head.weight");
    b.finish();
    return graph;
  }

 private:
  static constexpr Extent max_width = Extent{1} << 20;
  static constexpr Extent max_layers = 4096;
  static constexpr Extent max_buckets = Extent{1} << 16;

  void read_relative_bias(const ConfigReader& config);

  /// "relu", "gated-gelu" (which is the tanh approximation) and their kind.
  void read_feed_forward(const ConfigReader& config);

  Index token_id(const ConfigReader& config, std::string_view field, Index fallback) const;

  static std::string block(const std::string& stack, Extent i) { return text(stack, ".block.", i, "."); }
  static std::string relative_table(const std::string& stack);

  template <class P>
  ValueId self_attention(BlockBuilder<P>& b, const std::string& stack, Extent i, ValueId x) const {
    const std::string layer = block(stack, i) + "layer.0.", name = layer + "SelfAttention";
    const bool causal = stack == "decoder";
    const ValueId h = b.rms_norm(layer + "layer_norm", x, layer_norm_epsilon);
    RelativeBias bias = relative;
    bias.bidirectional = !causal;
    const ValueId q = b.linear(name + ".q", h);
    const ValueId k = b.linear(name + ".k", h);
    const ValueId v = b.linear(name + ".v", h);
    const ValueId a = b.attention(name, q, k, v, d_kv, 1.0, causal, bias, relative_table(stack));
    return b.residual(layer + "residual", x, b.linear(name + ".o", a));
  }
  template <class P>
  ValueId cross_attention(BlockBuilder<P>& b, const std::string& layer, ValueId x, ValueId memory) const {
    const std::string name = layer + "EncDecAttention";
    const ValueId q = b.linear(name + ".q", b.rms_norm(layer + "layer_norm", x, layer_norm_epsilon));
    const ValueId k = b.linear(name + ".k", memory);
    const ValueId v = b.linear(name + ".v", memory);
    return b.residual(layer + "residual", x, b.linear(name + ".o", b.attention(name, q, k, v, d_kv, 1.0, false)));
  }
  template <class P>
  ValueId feed_forward(BlockBuilder<P>& b, const std::string& layer, ValueId x) const {
    const std::string name = layer + "DenseReluDense";
    const ValueId h = b.rms_norm(layer + "layer_norm", x, layer_norm_epsilon);
    ValueId y;
    if (is_gated) {
      const ValueId gate = b.linear(name + ".wi_0", h);
      y = b.gate(name + ".act", gate, b.linear(name + ".wi_1", h), activation);
    } else {
      y = b.activate(name + ".act", b.linear(name + ".wi", h), activation);
    }
    return b.residual(layer + "residual", x, b.linear(name + ".wo", y));
  }
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/t5_inl.hpp"
#endif
