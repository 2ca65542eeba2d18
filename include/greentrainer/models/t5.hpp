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
  static T5 read(const ConfigReader& config) {
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

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return unlimited_positions; }
  /// Of the encoder's blocks, then the decoder's.
  std::string layer_prefix(Extent layer) const {
    return layer < num_layers ? block("encoder", layer) : block("decoder", layer - num_layers);
  }
  Extent layers() const { return num_layers + num_decoder_layers; }
  TargetShift target_shift() const { return shift; }

  TensorTable tensors() const {
    using TensorRole::linear, TensorRole::value, TensorRole::token_embedding, TensorRole::relative_bias,
        TensorRole::head;
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
        if (i == 0)
          t.add({.name = relative_table(stack), .shape = {relative.buckets, num_heads}, .role = relative_bias});
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

  /// The published prices of this model's tensors, in multiply-adds, for `batch` padded sequences of these lengths.
  PaperCost paper_cost(Extent batch, Extent source_tokens, Extent target_tokens) const {
    return published_encoder_decoder_cost(tensors(), "encoder.", "EncDecAttention", batch, source_tokens,
                                          target_tokens);
  }

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

  void read_relative_bias(const ConfigReader& config) {
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

  /// "relu", "gated-gelu" (which is the tanh approximation) and their kind.
  void read_feed_forward(const ConfigReader& config) {
    std::string name = config.get_or<std::string>("feed_forward_proj", "relu");
    is_gated = name.starts_with("gated-");
    if (is_gated) name = name.substr(std::string_view("gated-").size());
    if (is_gated && name == "gelu") name = "gelu_new";
    activation = activation_named(config, "feed_forward_proj", name);
    config.expect_value("dense_act_fn", name);
    config.expect_value("is_gated_act", is_gated);
  }

  Index token_id(const ConfigReader& config, std::string_view field, Index fallback) const {
    const Extent id = config.get_or<Extent>(field, fallback);
    if (id < 0 || id >= vocab_size) {
      throw ConfigError("config", text(config.source(), ", field \"", field, "\""),
                        text("expected a token id from 0 to ", vocab_size - 1, ", got ", id));
    }
    return static_cast<Index>(id);
  }

  static std::string block(const std::string& stack, Extent i) { return text(stack, ".block.", i, "."); }
  static std::string relative_table(const std::string& stack) {
    return block(stack, 0) + "layer.0.SelfAttention.relative_attention_bias.weight";
  }

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
