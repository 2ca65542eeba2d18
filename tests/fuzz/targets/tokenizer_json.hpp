#pragma once

// reader: tokenizers/load_tokenizer_inl.hpp tokenizers/assemble_tokenizer.hpp tokenizers/bpe.hpp
// reader: tokenizers/unigram.hpp tokenizers/word_piece.hpp
// reader: tokenizers/word_level.hpp tokenizers/normalizer.hpp tokenizers/character_normalizers.hpp
// reader: tokenizers/precompiled_charsmap.hpp tokenizers/pre_tokenizer.hpp tokenizers/post_processor.hpp
// reader: tokenizers/decoder.hpp tokenizers/component.hpp tokenizers/added_tokens.hpp tokenizers/special_tokens.hpp
// reader: tokenizers/tokenizer_settings.hpp tokenizers/tokenizer_class.hpp tokenizers/vocabulary.hpp

#include <string_view>

#include "fuzz/fuzz_input.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"

namespace greentrainer::fuzz {

/// Of several scripts.
inline constexpr std::string_view text_of_scripts =
    "The quick  brown fox\n\t12345 d\xC3\xA9j\xC3\xA0 vu, \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80</s>";

/// Encodes a text of several scripts, and decodes what comes of it.
inline void use(const Tokenizer& tokenizer) {
  const auto encoded = tokenizer.encode_with_offsets(text_of_scripts);
  tokenizer.decode(encoded.ids);
}

/// A tokenizer.json, and behind the first NUL, if there is one, the tokenizer_config.json beside it.
inline void tokenizer_json(std::string_view input) {
  static const InputFolder folder;
  const auto [tokenizer, settings] = two_parts(input);
  folder.write("tokenizer.json", tokenizer);
  folder.write("tokenizer_config.json", settings.empty() ? "{}" : settings);
  use(*load_tokenizer(folder.path()));
}

}  // namespace greentrainer::fuzz
