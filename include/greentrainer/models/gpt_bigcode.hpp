#pragma once

#include "greentrainer/models/gpt_fields.hpp"

namespace greentrainer {

/// GPT-BigCode (StarCoder 1, SantaCoder): GPT-2 with one key and value for all heads, and weights stored as usual.
struct GptBigCode {
  static constexpr std::string_view model_type = "gpt_bigcode";

  /// Reads config.json. Throws ConfigError naming a field that is missing, out of range, or asks for mathematics that
  /// is not here.
  static CausalDecoder read(const ConfigReader& config) {
    CausalDecoder d = gpt_decoder_from(config, model_type, true, "gelu_pytorch_tanh");
    d.names.positions = "transformer.wpe";
    d.names.qkv = "attn.c_attn";
    d.names.o = "attn.c_proj";
    d.names.up = "mlp.c_fc";
    d.names.down = "mlp.c_proj";
    d.qkv_bias = d.o_bias = true;
    d.fused_layout = CausalDecoder::FusedLayout::by_head;
    if (config.get_or<bool>("multi_query", true)) d.num_key_value_heads = 1;
    d.passed_over = {"*.attn.bias", "*.attn.masked_bias"};  // masks that older files have
    config.ignore({"attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "attention_probs_dropout_prob",
                   "inference_runner", "max_batch_size", "max_sequence_length", "pad_key_length",
                   "pre_allocate_kv_cache", "validate_runner_input", "runner_max_sequence_length",
                   "num_key_value_heads"});
    finish_config(config);
    return d;
  }
};

}  // namespace greentrainer
