#pragma once

#include <string>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/quantized_tensors.hpp"
#include "greentrainer/models/config_fields.hpp"

namespace greentrainer {

GREENTRAINER_INLINE void finish_config(const ConfigReader& config) {
  if (config.has("quantization_config"))
    check_quantization(config.get<Json>("quantization_config"), text(config.source(), ", quantization_config"));
  config.refuse("auto_map", "models that bring their own code are not supported");
  config.expect_value("add_cross_attention", false);
  config.expect_value("is_decoder", false);
  config.expect_value("cross_attention_hidden_size", Json(nullptr));
  config.expect_value("pruned_heads", Json::object());
  config.expect_value("layerdrop", 0.0);
  config.expect_value("output_scale", 1.0);
  if (!config.was_read("layer_types") && config.has("layer_types")) {
    for (const auto& type : config.get<std::vector<std::string>>("layer_types")) {
      if (type == "full_attention") continue;
      throw ConfigError("config", text(config.source(), ", field \"layer_types\""),
                        text("expected full_attention alone, got ", type));
    }
  }
  config.ignore(
      {// what it is called and where it comes from
       "_name_or_path", "architectures", "model_type", "transformers_version", "torch_dtype", "dtype",
       "transformers.js_config", "prefix", "task_specific_params", "finetuning_task", "problem_type", "torchscript",
       "_commit_hash", "name_or_path", "model_max_length", "unsloth_version", "unsloth_fixed",
       // initialisation, dropout (off unless asked for), and what a forward call returns
       "initializer_range", "init_std", "dropout", "attention_dropout", "activation_dropout", "hidden_dropout",
       "use_cache", "output_attentions", "output_hidden_states", "return_dict", "return_dict_in_generate",
       "output_scores", "gradient_checkpointing", "use_bfloat16", "attn_implementation", "_attn_implementation",
       "_attn_implementation_autoset", "_flash_attn_2_enabled", "num_logits_to_keep", "chunk_size_feed_forward",
       "tie_encoder_decoder", "is_encoder_decoder", "tokenizer_class", "id2label", "label2id", "num_labels",
       "classifier_dropout", "sep_token_id", "decoder_start_token_id", "unk_token_id",
       // settings of generation
       "bos_token_id", "eos_token_id", "pad_token_id", "max_length", "min_length", "do_sample", "early_stopping",
       "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p",
       "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
       "num_return_sequences", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
       "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "tf_legacy_loss",
       "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff", "max_new_tokens", "min_new_tokens",
       "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
       "assistant_lookbehind", "target_lookbehind"});
  const auto unread = config.unread();
  if (!unread.empty()) {
    throw ConfigError("config", text(config.source(), ", field \"", unread.front(), "\""),
                      text("expected a field whose meaning is known for this model_type, got an unknown one; ",
                           "it may change the mathematics, so it is not ignored: remove it if it does not"));
  }
}

GREENTRAINER_INLINE Extent positive_of(const ConfigReader& config, std::string_view name, std::string_view other_name,
                                       Extent max) {
  if (!config.has(other_name)) return config.positive(name, max);
  const Extent value = config.positive(other_name, max);
  config.expect_value(name, value);
  return value;
}

GREENTRAINER_INLINE Activation activation_named(const ConfigReader& config, std::string_view field,
                                                const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "tanh") return Activation::tanh;
  if (name == "relu2") return Activation::relu_squared;
  throw ConfigError("config", text(config.source(), ", field \"", field, "\""),
                    text("expected relu, gelu, gelu_new, gelu_pytorch_tanh, silu, tanh or relu2, got ", name));
}

GREENTRAINER_INLINE Activation activation_from(const ConfigReader& config, std::string_view field,
                                               const std::string& fallback) {
  return activation_named(config, field, config.get_or<std::string>(field, fallback));
}

GREENTRAINER_INLINE double epsilon_from(const ConfigReader& config, std::string_view field, double fallback) {
  const double epsilon = config.get_or<double>(field, fallback);
  if (epsilon < 0 || epsilon > 1)
    throw ConfigError("config", text(config.source(), ", field \"", field, "\""),
                      text("expected 0 to 1, got ", epsilon));
  return epsilon;
}

GREENTRAINER_INLINE std::optional<Extent> padding_row_from(const ConfigReader& config, Extent vocabulary,
                                                           std::optional<Extent> fallback) {
  if (config.is_null("pad_token_id")) return {};
  if (!config.has("pad_token_id") && !fallback) return {};
  const Extent id = config.get_or<Extent>("pad_token_id", fallback.value_or(0));
  if (id < -vocabulary || id >= vocabulary) {
    throw ConfigError("config", text(config.source(), ", field \"pad_token_id\""),
                      text("expected null or a token id from 0 to ", vocabulary - 1, " (or one from the end, from -",
                           vocabulary, " to -1), got ", id));
  }
  return id < 0 ? vocabulary + id : id;
}

GREENTRAINER_INLINE void require_width(const ConfigReader& config, std::string_view what, Extent heads,
                                       std::string_view size, Extent head_size, Extent most) {
  if (heads > most / head_size) {
    throw ConfigError(
        "config", text(config.source(), ", field \"", what, "\""),
        text("expected at most ", most, " columns with ", size, " = ", head_size, ", got ", heads, " heads"));
  }
}

GREENTRAINER_INLINE void require_divisible(const ConfigReader& config, std::string_view what, Extent width,
                                           std::string_view by, Extent heads) {
  if (width % heads != 0) {
    throw ConfigError("config", text(config.source(), ", field \"", what, "\""),
                      text("expected a multiple of ", by, " = ", heads, ", got ", width));
  }
}

}  // namespace greentrainer
