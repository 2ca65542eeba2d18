#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// The classes of transformers' tokenizers that are known. They differ in what they take from tokenizer.json: most of
/// it is rebuilt from the class where it has steps of its own.
enum class TokenizerClass {
  tokenizers_backend,  ///< all of the file, as it is
  gpt2,                ///< vocabulary, merges and post-processor
  llama,               ///< the same
  qwen2,               ///< the same
  qwen3_5,             ///< the same
  gemma,               ///< the same
  cohere,              ///< the same
  gpt_neox,            ///< vocabulary and merges
  t5,                  ///< vocabulary and normalisation rules
};

namespace detail {

/// Model types whose file counts as it is, unless a class is named that the type has in transformers' own table.
inline constexpr auto types_of_backend = std::to_array<std::string_view>({
    "arctic",
    "aria",
    "beam",
    "bigbird_pegasus",
    "canary",
    "chatlm",
    "ernie4_5",
    "ernie4_5_moe",
    "flex_olmo",
    "fuyu",
    "glm",
    "glm4",
    "glm4_moe",
    "glm4_moe_lite",
    "glm4v",
    "glm4v_moe",
    "glm_image",
    "glmasr",
    "got_ocr2",
    "gpt_bigcode",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "granitemoeshared",
    "h2ovl_chat",
    "hyperclovax",
    "hyperclovax_vlm",
    "internlm2",
    "internlm3",
    "iquestcoder",
    "jamba",
    "kimi_k25",
    "kimi_linear",
    "kosmos-2",
    "llava",
    "llava_next",
    "mimo_v2_flash",
    "minicpm3",
    "minicpm_ocr",
    "minicpmv",
    "minicpmv4_6",
    "minicpmv4_7",
    "minimax_m2",
    "ministral",
    "ministral3",
    "mistral",
    "mistral3",
    "mistral_large4",
    "mixtral",
    "modernbert",
    "modernbert-decoder",
    "molmo",
    "molmo2",
    "nemotron",
    "nvfp4",
    "nystromformer",
    "olmo2",
    "olmo3",
    "olmo_hybrid",
    "opencua",
    "openvla",
    "paddleocr_vl",
    "pegasus_x",
    "persimmon",
    "phi3",
    "phi3_v",
    "phimoe",
    "pix2struct",
    "pixtral",
    "stablelm",
    "step3_vl",
    "umt5",
    "vipllava",
    "voxtral",
    "voxtral_realtime",
    "xlm-roberta-xl",
});

/// Classes of model types. Where a folder names no class, these count; where `always`, they do even if it names
/// another.
struct ClassOfType {
  std::string_view type, name;
  bool always = false;
};
inline constexpr auto classes_of_types = std::to_array<ClassOfType>({
    {"qwen2", "Qwen2Tokenizer", true},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen2_vl", "Qwen2Tokenizer"},
    {"qwen2_5_vl", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},
    {"qwen3_next", "Qwen2Tokenizer"},
    {"qwen3_vl", "Qwen2Tokenizer"},
    {"qwen3_vl_moe", "Qwen2Tokenizer"},
    {"qwen3_5", "Qwen3_5Tokenizer", true},
    {"qwen3_5_moe", "Qwen3_5Tokenizer", true},
    {"qwen3_5_text", "Qwen3_5Tokenizer"},
    {"qwen3_5_moe_text", "Qwen3_5Tokenizer", true},
    {"qwen4_exp", "Qwen3_5Tokenizer", true},
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"codegen", "GPT2Tokenizer"},
    {"dbrx", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"phi", "GPT2Tokenizer"},
    {"starcoder2", "GPT2Tokenizer"},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"gemma3n", "GemmaTokenizer"},
    {"gemma3n_text", "GemmaTokenizer"},
    {"recurrent_gemma", "GemmaTokenizer"},
    {"t5gemma", "GemmaTokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"falcon_mamba", "GPTNeoXTokenizer"},
    {"mamba", "GPTNeoXTokenizer"},
    {"mamba2", "GPTNeoXTokenizer"},
    {"mpt", "GPTNeoXTokenizer"},
    {"olmo", "GPTNeoXTokenizer"},
    {"olmoe", "GPTNeoXTokenizer"},
    {"rwkv", "GPTNeoXTokenizer"},
    {"xlstm", "GPTNeoXTokenizer"},
    {"cohere", "CohereTokenizer"},
    {"cohere2", "CohereTokenizer"},
    {"t5", "T5Tokenizer"},
    {"mt5", "T5Tokenizer"},
    {"switch_transformers", "T5Tokenizer"},
});

inline constexpr auto known_classes = std::to_array<std::pair<std::string_view, TokenizerClass>>({
    {"PreTrainedTokenizer", TokenizerClass::tokenizers_backend},
    {"TokenizersBackend", TokenizerClass::tokenizers_backend},
    {"BloomTokenizer", TokenizerClass::tokenizers_backend},
    {"GPT2Tokenizer", TokenizerClass::gpt2},
    {"LlamaTokenizer", TokenizerClass::llama},
    {"Qwen2Tokenizer", TokenizerClass::qwen2},
    {"Qwen3_5Tokenizer", TokenizerClass::qwen3_5},
    {"GemmaTokenizer", TokenizerClass::gemma},
    {"CohereTokenizer", TokenizerClass::cohere},
    {"GPTNeoXTokenizer", TokenizerClass::gpt_neox},
    {"T5Tokenizer", TokenizerClass::t5},
});

}  // namespace detail

/// What AutoTokenizer of transformers 5.24 takes: by `tokenizer_class` of tokenizer_config.json, else of config.json
/// ("" where neither has it), and config.json's `model_type`. `byte_level`: tokenizer.json has a ByteLevel part. Throws
/// LoadError naming `source` for a class that is not known.
inline TokenizerClass tokenizer_class_of(std::string_view name, std::string_view model_type, bool byte_level,
                                         std::string_view source) {
  std::string_view bare = name;
  if (bare.ends_with("Fast")) bare.remove_suffix(4);
  const auto of_type = std::find_if(detail::classes_of_types.begin(), detail::classes_of_types.end(),
                                    [&](const detail::ClassOfType& entry) { return entry.type == model_type; });
  const bool has_class = of_type != detail::classes_of_types.end();
  const auto& as_it_is = detail::types_of_backend;
  if (bare.empty() && !has_class) return TokenizerClass::tokenizers_backend;
  if (std::find(as_it_is.begin(), as_it_is.end(), model_type) != as_it_is.end())
    return TokenizerClass::tokenizers_backend;
  const bool always = has_class && of_type->always;
  // Files of Llama 3's kind name the class of Llama 2.
  if (bare == "LlamaTokenizer" && byte_level && !always) return TokenizerClass::tokenizers_backend;
  if (bare.empty() || always) bare = of_type->name;
  for (const auto& [known, result] : detail::known_classes) {
    if (known == bare) return result;
  }
  throw LoadError("load_tokenizer", text(source, ", tokenizer_class"),
                  text("expected PreTrainedTokenizerFast (tokenizer.json as it is), GPT2Tokenizer, LlamaTokenizer, "
                       "Qwen2Tokenizer, Qwen3_5Tokenizer, GemmaTokenizer, GPTNeoXTokenizer, CohereTokenizer, "
                       "T5Tokenizer or BloomTokenizer, got \"",
                       name, "\", which may read tokenizer.json in its own way"));
}

}  // namespace greentrainer
