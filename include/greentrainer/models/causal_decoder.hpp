#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/blocks/tensor_table.hpp"
#include "greentrainer/core/compiled.hpp"

namespace greentrainer {

/// What a decoder's layers are called in checkpoints, after the prefix of their block where they are in one. The
/// defaults are Llama's; an empty name is a layer that the architecture does not have.
struct DecoderNames {
  std::string embedding = "model.embed_tokens";
  std::string positions = "";  ///< a table of them
  std::string blocks = "model.layers.";
  std::string q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj";
  std::string qkv = "";  ///< instead of the three
  std::string o = "self_attn.o_proj";
  std::string q_norm = "", k_norm = "";
  std::string sinks = "";  ///< the tensor itself
  std::string gate = "mlp.gate_proj", up = "mlp.up_proj";
  std::string gate_up = "";  ///< instead of the two
  std::string down = "mlp.down_proj";
  std::string attention_input_norm = "input_layernorm", attention_output_norm = "";
  std::string feed_forward_input_norm = "post_attention_layernorm", feed_forward_output_norm = "";
  std::string final_norm = "model.norm";
  std::string head = "lm_head";
};

/// A decoder-only transformer, as most families are: what differs between them is a member. An architecture's file
/// fills it in from config.json (models/llama.hpp is the plainest).
struct CausalDecoder {
  /// LayerNorm, with or without bias, or RMSNorm, whose weight an offset may be added to.
  struct Norm {
    bool layer_norm = false;
    bool bias = false;
    double epsilon = 1e-6;
    double offset = 0;
    bool kept_in_float32 = false;  ///< see TensorRow
  };
  /// Whether queries and keys are normalised: over each head, or over all heads at once.
  enum class HeadNorm { none, each_head, all_heads };
  /// How a fused projection lies: all queries, then keys, then values; or the queries of a key-value head, its key and
  /// its value, head after head.
  enum class FusedLayout { in_blocks, by_head };

  /// Experts instead of a feed-forward: of each token's, as many as it is routed to.
  struct Experts {
    Extent count = 0;  ///< 0: none
    Extent per_token = 1;
    Extent width = 0;               ///< of each one's gate and up projections
    bool normalised = false;        ///< weights of a token's experts sum to 1
    Extent shared_width = 0;        ///< of one more that all tokens go to, by a gate of its own; 0: none
    std::vector<bool> layers = {};  ///< which layers have them; empty: all
    std::string router = "mlp.gate";
    std::string prefix = "mlp.experts.";
    std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
    std::string shared = "mlp.shared_expert", shared_gate = "mlp.shared_expert_gate";
    /// The tensors hold all experts of a layer, which have this gate and biases, as the router has; `prefix` is then
    /// what they are in. See FusedExperts.
    std::optional<ClampedGate> fused = {};
  };

  std::string model_type = {};
  DecoderNames names = {};

  Extent vocab_size = 0;
  Extent hidden_size = 0;
  Extent intermediate_size = 0;
  Extent num_hidden_layers = 0;
  Extent num_attention_heads = 0;
  Extent num_key_value_heads = 0;
  Extent head_dim = 0;
  Extent max_position_embeddings = 0;
  Extent window = 0;  ///< of attention: the last keys that a token sees, its own among them; 0: none
  std::vector<bool> windowed_layers = {};     ///< which layers have it; empty: all, if there is one
  std::vector<std::string> passed_over = {};  ///< globs of tensors that are no weights; see TensorTable
  std::vector<std::string> other_parts = {};  ///< globs of tensors of other parts of the model; see TensorTable
  std::optional<Extent> padding_row = {};     ///< of the token embedding; see padding_row_from
  bool tie_word_embeddings = false;

  Norm norm = {};
  HeadNorm head_norm = HeadNorm::none;
  bool head_norm_behind_rotary = false;
  FusedLayout fused_layout = FusedLayout::in_blocks;
  bool conv1d = false;             ///< linear layers are stored as (in, out)
  bool gguf_rotary_pairs = false;  ///< GGUF files have the rows of queries and keys in pairs; see GgufForm
  bool qkv_bias = false, o_bias = false, mlp_bias = false, head_bias = false;
  Activation activation = Activation::silu;
  Experts experts = {};
  bool parallel = false;  ///< attention and feed-forward read the same input; without a norm of its own the latter
                          ///< reads the former's

  std::vector<RotaryShape> rotaries = {};
  std::vector<int> rotary_of_layer = {};  ///< which of them a layer has; -1: none. Empty: all have the first, if any
  double embedding_scale = 1;
  double attention_scale = 0;  ///< of the scores; 0: 1 / sqrt(head_dim)
  double score_cap = 0;        ///< what scaled scores are limited to, smoothly (AttentionShape); 0: nothing
  double residual_scale = 1;
  double logit_scale = 1;
  double logit_cap = 0;  ///< what logits are limited to, smoothly (CrossEntropyHead); 0: nothing

  Extent vocabulary() const { return vocab_size; }
  Extent max_positions() const { return max_position_embeddings; }
  /// See ModelFacts.
  Extent original_positions() const {
    for (const RotaryShape& shape : rotaries) {
      if (!shape.scaling.factors_beyond.empty()) return static_cast<Extent>(shape.scaling.original_positions);
    }
    return 0;
  }
  std::string layer_prefix(Extent layer) const { return text(names.blocks, layer, "."); }
  Extent layers() const { return num_hidden_layers; }

  TensorTable tensors() const;

  template <class P>
  TensorGraph<P> graph(const GraphOptions& options = {}) const {
    TensorGraph<P> graph;
    BlockBuilder<P> b(graph, tensors(), options, {.decoder_layers = num_hidden_layers});
    ValueId x = b.embedding(names.embedding, {.rows = Rows::decoder_tokens, .padding_row = padding_row});
    x = scaled(b, "embedding_scale", x, embedding_scale);
    if (!names.positions.empty()) {
      x = b.add("embeddings", x,
                b.embedding(names.positions, {.rows = Rows::decoder_tokens, .source = Embedding::Source::positions}));
    }
    for (Extent i = 0; i < num_hidden_layers; ++i) x = block(b, i, x);
    x = normed(b, names.final_norm, b.gather_labelled("labelled_rows", x));
    x = scaled(b, "logit_scale", x, logit_scale);
    b.cross_entropy_head(names.head, x, (tie_word_embeddings ? names.embedding : names.head) + ".weight", logit_cap);
    b.finish();
    return graph;
  }

 private:
  Extent query_width() const { return num_attention_heads * head_dim; }
  Extent key_width() const { return num_key_value_heads * head_dim; }
  Extent head_norm_width(Extent width) const { return head_norm == HeadNorm::each_head ? head_dim : width; }

  bool has_experts(Extent layer) const {
    return experts.count > 0 && (experts.layers.empty() || experts.layers[static_cast<std::size_t>(layer)]);
  }

  void add_block(TensorTable& t, Extent i) const;
  void add_fused_experts(TensorTable& t, const std::string& name) const;
  static void add_names_of_text_part(TensorTable& t);

  template <class P>
  ValueId normed(BlockBuilder<P>& b, const std::string& name, ValueId x) const {
    if (norm.layer_norm) return b.layer_norm(name, x, norm.epsilon);
    return b.rms_norm(name, x, norm.epsilon, norm.offset);
  }
  /// Of a block, where it has this norm.
  template <class P>
  ValueId normed(BlockBuilder<P>& b, const std::string& layer, const std::string& name, ValueId x) const {
    return name.empty() ? x : normed(b, layer + name, x);
  }
  template <class P>
  static ValueId scaled(BlockBuilder<P>& b, const std::string& name, ValueId x, double factor) {
    return factor == 1 ? x : b.scale(name, x, factor);
  }

  template <class P>
  ValueId block(BlockBuilder<P>& b, Extent i, ValueId x) const {
    const std::string layer = layer_prefix(i);
    const auto residual = [&](const char* name, const std::string& output_norm, ValueId to, ValueId branch) {
      branch = scaled(b, layer + name + ".scale", normed(b, layer, output_norm, branch), residual_scale);
      return b.residual(layer + name, to, branch);
    };
    const ValueId h = normed(b, layer, names.attention_input_norm, x);
    const ValueId attended = residual("attention_residual", names.attention_output_norm, x, attention(b, i, layer, h));
    const bool shares_input = parallel && names.feed_forward_input_norm.empty();
    const ValueId n = shares_input ? h : normed(b, layer, names.feed_forward_input_norm, parallel ? x : attended);
    const ValueId fed = has_experts(i) ? mixture(b, layer, n) : feed_forward(b, layer, n);
    return residual("mlp_residual", names.feed_forward_output_norm, attended, fed);
  }

  template <class P>
  ValueId attention(BlockBuilder<P>& b, Extent i, const std::string& layer, ValueId h) const {
    std::vector<ValueId> qkv = projections(b, layer, h);
    const auto norm_heads = [&] {
      qkv[0] = normed(b, layer, names.q_norm, qkv[0]);
      qkv[1] = normed(b, layer, names.k_norm, qkv[1]);
    };
    if (head_norm != HeadNorm::none && !head_norm_behind_rotary) norm_heads();
    const int rotary = rotaries.empty()          ? -1
                       : rotary_of_layer.empty() ? 0
                                                 : rotary_of_layer[static_cast<std::size_t>(i)];
    if (rotary >= 0) {
      const RotaryShape& shape = rotaries[static_cast<std::size_t>(rotary)];
      qkv[0] = b.rotary(layer + "self_attn.q_rotary", qkv[0], shape);
      qkv[1] = b.rotary(layer + "self_attn.k_rotary", qkv[1], shape);
    }
    if (head_norm != HeadNorm::none && head_norm_behind_rotary) norm_heads();
    const double scale = attention_scale > 0 ? attention_scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
    const bool windowed = windowed_layers.empty() || windowed_layers[static_cast<std::size_t>(i)];
    const AttentionLimits limits{.window = windowed ? window : 0,
                                 .score_cap = score_cap,
                                 .sinks = names.sinks.empty() ? "" : layer + names.sinks};
    return b.linear(layer + names.o,
                    b.attention(layer + "self_attn", qkv[0], qkv[1], qkv[2], head_dim, scale, true, limits));
  }
  template <class P>
  std::vector<ValueId> projections(BlockBuilder<P>& b, const std::string& layer, ValueId h) const {
    if (names.qkv.empty())
      return {b.linear(layer + names.q, h), b.linear(layer + names.k, h), b.linear(layer + names.v, h)};
    const ValueId qkv = b.linear(layer + names.qkv, h);
    if (fused_layout == FusedLayout::in_blocks)
      return b.split_columns(layer + names.qkv + ".split", qkv, {query_width(), key_width(), key_width()});
    return b.split_columns(layer + names.qkv + ".split", qkv, {query_width() / num_key_value_heads, head_dim, head_dim},
                           num_key_value_heads);
  }

  template <class P>
  ValueId mixture(BlockBuilder<P>& b, const std::string& layer, ValueId n) const {
    const ValueId routing =
        b.route(layer + experts.router, n, {.top_k = experts.per_token, .normalised = experts.normalised});
    if (experts.fused) return b.fused_experts(layer + experts.prefix, n, routing, experts.per_token, *experts.fused);
    std::optional<ValueId> sum;
    for (Extent e = 0; e < experts.count; ++e) {
      const std::string expert = text(layer, experts.prefix, e);
      std::vector<std::string> weights;
      for (const std::string& name : {experts.gate, experts.up, experts.down})
        weights.push_back(text(expert, ".", name, ".weight"));
      sum =
          b.expert(expert, n, routing, sum, {.function = activation, .number = e, .top_k = experts.per_token}, weights);
    }
    if (experts.shared_width == 0) return *sum;
    const std::string shared = layer + experts.shared;
    const ValueId gate = b.linear(text(shared, ".", experts.gate), n);
    const ValueId hidden = b.gate(shared + ".act_fn", gate, b.linear(text(shared, ".", experts.up), n), activation);
    const ValueId scale = b.activate(layer + experts.shared_gate + ".sigmoid", b.linear(layer + experts.shared_gate, n),
                                     Activation::sigmoid);
    return b.add(layer + "mlp.sum", *sum,
                 b.scale_rows(shared + ".scale", b.linear(text(shared, ".", experts.down), hidden), scale));
  }

  template <class P>
  ValueId feed_forward(BlockBuilder<P>& b, const std::string& layer, ValueId n) const {
    const std::string act = layer + "mlp.act_fn";
    ValueId m;
    if (!names.gate_up.empty()) {
      const auto both = b.split_columns(layer + names.gate_up + ".split", b.linear(layer + names.gate_up, n),
                                        {intermediate_size, intermediate_size});
      m = b.gate(act, both[0], both[1], activation);
    } else if (!names.gate.empty()) {
      const ValueId gate = b.linear(layer + names.gate, n);
      m = b.gate(act, gate, b.linear(layer + names.up, n), activation);
    } else {
      m = b.activate(act, b.linear(layer + names.up, n), activation);
    }
    return b.linear(layer + names.down, m);
  }
};

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/models/causal_decoder_inl.hpp"
#endif
