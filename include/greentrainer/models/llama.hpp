#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/models/checkpoint_names.hpp"
#include "greentrainer/models/config_fields.hpp"

namespace greentrainer {

/// Llama and what shares its shape (SmolLM2, TinyStories): RMS norm, rotary positions, SwiGLU, grouped-query attention,
/// tied or untied head.
struct Llama {
  static constexpr std::string_view model_type = "llama";

  Extent vocab_size = 0;
  Extent hidden_size = 0;
  Extent intermediate_size = 0;
  Extent num_hidden_layers = 0;
  Extent num_attention_heads = 0;
  Extent num_key_value_heads = 0;
  Extent head_dim = 0;
  Extent max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  bool attention_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  std::optional<Extent> padding_row = {};  ///< of the token embedding; see padding_row_from

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static Llama read(const ConfigReader& config) {
    Llama c;
    c.vocab_size = config.positive("vocab_size");
    c.hidden_size = config.positive("hidden_size", max_width);
    c.intermediate_size = config.positive("intermediate_size", max_width);
    c.num_hidden_layers = config.positive("num_hidden_layers", max_layers);
    c.num_attention_heads = config.positive("num_attention_heads", c.hidden_size);
    c.num_key_value_heads = config.positive_or("num_key_value_heads", c.num_attention_heads, c.num_attention_heads);
    require_divisible(config, "num_attention_heads", c.num_attention_heads, "num_key_value_heads",
                      c.num_key_value_heads);
    if (!config.has("head_dim"))
      require_divisible(config, "hidden_size", c.hidden_size, "num_attention_heads", c.num_attention_heads);
    c.head_dim = config.positive_or("head_dim", c.hidden_size / c.num_attention_heads, max_width);
    require_width(config, "num_attention_heads", c.num_attention_heads, "head_dim", c.head_dim, max_width);
    require_divisible(config, "head_dim", c.head_dim, "the two halves of a rotary embedding", 2);
    c.max_position_embeddings = config.positive("max_position_embeddings");
    c.rms_norm_eps = epsilon_from(config, "rms_norm_eps", 1e-6);
    c.rope_theta = rotary_theta(config);
    c.attention_bias = config.get_or<bool>("attention_bias", false);
    c.mlp_bias = config.get_or<bool>("mlp_bias", false);
    c.tie_word_embeddings = config.get_or<bool>("tie_word_embeddings", false);
    c.padding_row = padding_row_from(config, c.vocab_size, {});
    config.expect_value("hidden_act", "silu");
    config.expect_value("rope_interleaved", false);
    config.ignore({"pretraining_tp", "is_llama_config", "partial_rotary_factor"});  // which transformers' Llama ignores
    finish_config(config);
    return c;
  }

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return max_position_embeddings; }
  std::string layer_prefix(Extent layer) const { return text("model.layers.", layer, "."); }
  Extent layers() const { return num_hidden_layers; }

  CheckpointNames checkpoint_names() const {
    CheckpointNames names{.passed_over = {"*.rotary_emb.inv_freq"}};
    if (tie_word_embeddings) names.head = {"lm_head.weight", "model.embed_tokens.weight"};
    return names;
  }

  template <class P>
  TensorGraph<P> graph(const GraphOptions& options = {}) const {
    TensorGraph<P> graph;
    declare_parameters(graph);
    BlockBuilder<P> b(graph, options, {.lora_targets = {"q_proj", "v_proj"}, .decoder_layers = num_hidden_layers});
    ValueId x = b.embedding("model.embed_tokens", {.rows = Rows::decoder_tokens, .padding_row = padding_row});
    for (Extent i = 0; i < num_hidden_layers; ++i) {
      const std::string layer = layer_prefix(i);
      const ValueId h = b.rms_norm(layer + "input_layernorm", x, rms_norm_eps);
      const ValueId q =
          b.rotary(layer + "self_attn.q_rotary",
                   b.linear(layer + "self_attn.q_proj", h, num_attention_heads * head_dim, attention_bias), head_dim,
                   rope_theta);
      const ValueId k =
          b.rotary(layer + "self_attn.k_rotary",
                   b.linear(layer + "self_attn.k_proj", h, num_key_value_heads * head_dim, attention_bias), head_dim,
                   rope_theta);
      const ValueId v = b.linear(layer + "self_attn.v_proj", h, num_key_value_heads * head_dim, attention_bias);
      const ValueId a =
          b.attention(layer + "self_attn", q, k, v, head_dim, 1.0 / std::sqrt(static_cast<double>(head_dim)), true);
      x = b.residual(layer + "attention_residual", x,
                     b.linear(layer + "self_attn.o_proj", a, hidden_size, attention_bias));
      const ValueId n = b.rms_norm(layer + "post_attention_layernorm", x, rms_norm_eps);
      const ValueId gate = b.linear(layer + "mlp.gate_proj", n, intermediate_size, mlp_bias);
      const ValueId up = b.linear(layer + "mlp.up_proj", n, intermediate_size, mlp_bias);
      const ValueId m = b.gate(layer + "mlp.act_fn", gate, up, Activation::silu);
      x = b.residual(layer + "mlp_residual", x, b.linear(layer + "mlp.down_proj", m, hidden_size, mlp_bias));
    }
    x = b.rms_norm("model.norm", b.gather_labelled("labelled_rows", x), rms_norm_eps);
    b.cross_entropy_head("lm_head", x, tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    b.finish();
    return graph;
  }

 private:
  static constexpr Extent max_width = Extent{1} << 20;
  static constexpr Extent max_layers = 4096;

  /// Of rope_scaling, or, where that is empty, of the rope_parameters that newer versions of transformers write, or
  /// rope_theta; scaled frequencies are refused.
  static double rotary_theta(const ConfigReader& config) {
    double theta = config.get_or<double>("rope_theta", 10000);
    config.ignore({"rope_scaling", "rope_parameters"});
    const char* const field = config.is_off("rope_scaling") ? "rope_parameters" : "rope_scaling";
    if (const auto section = config.section(field)) {
      section->expect_value(section->has("rope_type") ? "rope_type" : "type", "default");
      section->ignore({"type", "partial_rotary_factor", "original_max_position_embeddings"});
      theta = section->get_or<double>("rope_theta", theta);
      if (!section->unread().empty())
        section->refuse(section->unread().front(), "scaled rotary frequencies are not supported");
    }
    if (theta <= 0)
      throw ConfigError("config", text(config.source(), ", field \"rope_theta\""),
                        text("expected a positive number, got ", theta));
    return theta;
  }

  template <class P>
  void declare_parameters(TensorGraph<P>& graph) const {
    const auto linear = [&](const std::string& name, Extent in, Extent out, bool bias) {
      graph.parameter(name + ".weight", {out, in});
      if (bias) graph.parameter(name + ".bias", {out});
    };
    graph.parameter("model.embed_tokens.weight", {vocab_size, hidden_size});
    for (Extent i = 0; i < num_hidden_layers; ++i) {
      const std::string layer = layer_prefix(i);
      linear(layer + "self_attn.q_proj", hidden_size, num_attention_heads * head_dim, attention_bias);
      linear(layer + "self_attn.k_proj", hidden_size, num_key_value_heads * head_dim, attention_bias);
      linear(layer + "self_attn.v_proj", hidden_size, num_key_value_heads * head_dim, attention_bias);
      linear(layer + "self_attn.o_proj", num_attention_heads * head_dim, hidden_size, attention_bias);
      linear(layer + "mlp.gate_proj", hidden_size, intermediate_size, mlp_bias);
      linear(layer + "mlp.up_proj", hidden_size, intermediate_size, mlp_bias);
      linear(layer + "mlp.down_proj", intermediate_size, hidden_size, mlp_bias);
      graph.parameter(layer + "input_layernorm.weight", {hidden_size});
      graph.parameter(layer + "post_attention_layernorm.weight", {hidden_size});
    }
    graph.parameter("model.norm.weight", {hidden_size});
    if (!tie_word_embeddings) graph.parameter("lm_head.weight", {vocab_size, hidden_size});
  }
};

}  // namespace greentrainer
