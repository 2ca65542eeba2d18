#pragma once

#include <string>
#include <string_view>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// The classes of transformers' tokenizers that are known. They differ in what they take from tokenizer.json: most of
/// it is rebuilt from the class where it has steps of its own.
enum class TokenizerClass {
  tokenizers_backend,  ///< all of the file, as it is
  gpt2,                ///< vocabulary, merges and post-processor
  llama,               ///< the same
  t5,                  ///< vocabulary and normalisation rules
};

/// What AutoTokenizer of transformers 5.24 takes: by `tokenizer_class` of tokenizer_config.json, else of config.json
/// ("" where neither has it), and config.json's `model_type`. `byte_level`: tokenizer.json has a ByteLevel part. Throws
/// LoadError naming `source` for a class that is not known.
inline TokenizerClass tokenizer_class_of(std::string_view name, std::string_view model_type, bool byte_level,
                                         std::string_view source) {
  std::string_view bare = name;
  if (bare.ends_with("Fast")) bare.remove_suffix(4);
  if (bare.empty()) {
    if (model_type == "opt" || model_type == "gpt2") return TokenizerClass::gpt2;
    if (model_type == "t5" || model_type == "mt5") return TokenizerClass::t5;
    return TokenizerClass::tokenizers_backend;
  }
  if (bare == "PreTrainedTokenizer" || bare == "TokenizersBackend" || bare == "BloomTokenizer" || model_type == "umt5")
    return TokenizerClass::tokenizers_backend;
  // Files of Llama 3's kind name the class of Llama 2.
  if (bare == "LlamaTokenizer") return byte_level ? TokenizerClass::tokenizers_backend : TokenizerClass::llama;
  if (bare == "GPT2Tokenizer") return TokenizerClass::gpt2;
  if (bare == "T5Tokenizer") return TokenizerClass::t5;
  throw LoadError("load_tokenizer", text(source, ", tokenizer_class"),
                  text("expected PreTrainedTokenizerFast (tokenizer.json as it is), GPT2Tokenizer, LlamaTokenizer, "
                       "T5Tokenizer or BloomTokenizer, got \"",
                       name, "\", which may read tokenizer.json in its own way"));
}

}  // namespace greentrainer
