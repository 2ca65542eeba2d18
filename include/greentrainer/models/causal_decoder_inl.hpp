#pragma once

#include "greentrainer/models/causal_decoder.hpp"

namespace greentrainer {

GREENTRAINER_INLINE TensorTable CausalDecoder::tensors() const {
  using TensorRole::position_embedding, TensorRole::head;
  TensorTable t;
  t.embedding(names.embedding, vocab_size, hidden_size);
  t.set_gguf(0, {.name = "token_embd"});
  if (!names.positions.empty()) {
    t.embedding(names.positions, max_position_embeddings, hidden_size, position_embedding);
    t.set_gguf(1, {.name = "position_embd"});
  }
  for (Extent i = 0; i < num_hidden_layers; ++i) add_block(t, i);
  const std::size_t last = t.rows.size();
  t.norm(names.final_norm, hidden_size, norm.bias);
  t.set_gguf(last, {.name = "output_norm", .offset = static_cast<float>(norm.offset)});
  for (TensorRow& row : t.rows) row.kept_in_float32 = norm.kept_in_float32 && row.role == TensorRole::norm;
  const std::size_t output = t.rows.size();
  if (tie_word_embeddings)
    t.head = TiedHead{names.head + ".weight", names.embedding + ".weight"};
  else
    t.embedding(names.head, vocab_size, hidden_size, head);
  if (head_bias) t.add({.name = names.head + ".bias", .shape = {vocab_size}, .role = head});
  t.set_gguf(output, {.name = "output"});
  t.passed_over = passed_over;
  t.passed_over.push_back("*.rotary_emb.inv_freq");
  t.other_parts = other_parts;
  if (!other_parts.empty()) add_names_of_text_part(t);
  return t;
}

/// Of a model that reads images too: files have its text part under three names, by their age and family.
GREENTRAINER_INLINE void CausalDecoder::add_names_of_text_part(TensorTable& t) {
  const std::string inner = "model.language_model.";
  for (TensorRow& row : t.rows) {
    if (row.name.starts_with(inner)) {
      for (const char* prefix : {"language_model.model.", "model."})
        row.other_names.push_back(prefix + row.name.substr(inner.size()));
    } else {
      row.other_names.push_back("language_model." + row.name);
    }
  }
  if (t.head) t.head->other_names.push_back("language_model." + t.head->name);
}

GREENTRAINER_INLINE void CausalDecoder::add_fused_experts(TensorTable& t, const std::string& name) const {
  const Extent count = experts.count, pairs = 2 * experts.width;
  const auto both = [&](const std::string& tensor, Extent out, Extent in) {
    t.add({.name = tensor, .shape = {count * out, in}, .stored_transposed = true, .stacked = count});
    t.add({.name = tensor + "_bias", .shape = {count, out}, .role = TensorRole::other});
  };
  both(name + ".gate_up_proj", pairs, hidden_size);
  both(name + ".down_proj", hidden_size, experts.width);
}

GREENTRAINER_INLINE void CausalDecoder::add_block(TensorTable& t, Extent i) const {
  // What the names of the block's tensors begin with, in checkpoints and in GGUF files.
  const std::string layer = layer_prefix(i), gguf_layer = text("blk.", i, ".");
  using TensorRole::linear, TensorRole::value;
  const auto linear_layer = [&](const std::string& name, const char* gguf_name, Extent in, Extent out, bool bias,
                                TensorRole role = linear, bool takes_lora = false) {
    if (name.empty()) return;
    const std::size_t weight = t.rows.size();
    t.linear(layer + name, in, out, bias, role, takes_lora);
    t.rows[weight].stored_transposed = conv1d;
    if (gguf_name != nullptr) t.set_gguf(weight, {.name = gguf_layer + gguf_name});
  };
  const auto rotary_layer = [&](const std::string& name, const char* gguf_name, Extent heads, bool takes_lora) {
    const std::size_t weight = t.rows.size();
    linear_layer(name, gguf_name, hidden_size, heads * head_dim, qkv_bias, linear, takes_lora);
    if (gguf_rotary_pairs) t.set_gguf(weight, {.name = gguf_layer + gguf_name, .rotary_heads = heads});
  };
  const auto norm_layer = [&](const std::string& name, const char* gguf_name, Extent width) {
    if (name.empty()) return;
    const std::size_t weight = t.rows.size();
    t.norm(layer + name, width, norm.bias);
    t.set_gguf(weight, {.name = gguf_layer + gguf_name, .offset = static_cast<float>(norm.offset)});
  };
  if (!names.sinks.empty())
    t.add({.name = layer + names.sinks, .shape = {num_attention_heads}, .role = TensorRole::other});
  if (names.qkv.empty()) {
    rotary_layer(names.q, "attn_q", num_attention_heads, true);
    rotary_layer(names.k, "attn_k", num_key_value_heads, false);
    linear_layer(names.v, "attn_v", hidden_size, key_width(), qkv_bias, value, true);
  } else {
    linear_layer(names.qkv, "attn_qkv", hidden_size, query_width() + 2 * key_width(), qkv_bias, value, true);
  }
  linear_layer(names.o, "attn_output", query_width(), hidden_size, o_bias);
  if (head_norm != HeadNorm::none) {
    norm_layer(names.q_norm, "attn_q_norm", head_norm_width(query_width()));
    norm_layer(names.k_norm, "attn_k_norm", head_norm_width(key_width()));
  }
  // GGUF files hold all experts of a layer in one tensor: their rows have no name of one.
  const auto gated = [&](const std::string& prefix, Extent width) {
    linear_layer(prefix + experts.gate, nullptr, hidden_size, width, false);
    linear_layer(prefix + experts.up, nullptr, hidden_size, width, false);
    linear_layer(prefix + experts.down, nullptr, width, hidden_size, false);
  };
  if (has_experts(i)) {
    linear_layer(experts.router, nullptr, hidden_size, experts.count, experts.fused.has_value());
    if (experts.fused) add_fused_experts(t, layer + experts.prefix);
    for (Extent e = 0; !experts.fused && e < experts.count; ++e) gated(text(experts.prefix, e, "."), experts.width);
    if (experts.shared_width > 0) {
      gated(experts.shared + ".", experts.shared_width);
      linear_layer(experts.shared_gate, nullptr, hidden_size, 1, false);
    }
  } else {
    linear_layer(names.gate_up, "ffn_up", hidden_size, 2 * intermediate_size, mlp_bias);
    linear_layer(names.gate, "ffn_gate", hidden_size, intermediate_size, mlp_bias);
    linear_layer(names.up, "ffn_up", hidden_size, intermediate_size, mlp_bias);
    linear_layer(names.down, "ffn_down", intermediate_size, hidden_size, mlp_bias);
  }
  norm_layer(names.attention_input_norm, "attn_norm", hidden_size);
  norm_layer(names.attention_output_norm, "post_attention_norm", hidden_size);
  norm_layer(names.feed_forward_input_norm, "ffn_norm", hidden_size);
  norm_layer(names.feed_forward_output_norm, "post_ffw_norm", hidden_size);
}

}  // namespace greentrainer
