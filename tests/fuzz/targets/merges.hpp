#pragma once

// reader: tokenizers/merges.hpp tokenizers/vocabulary.hpp

#include <string_view>

#include "fuzz/targets/tokenizer_json.hpp"

namespace greentrainer::fuzz {

/// A GPT-2 folder: vocab.json in front of the first NUL, merges.txt behind it.
inline void merges(std::string_view input) {
  static const InputFolder folder;
  const auto [vocabulary, lines] = two_parts(input);
  folder.write("vocab.json", vocabulary);
  folder.write("merges.txt", lines);
  use(*load_tokenizer(folder.path()));
}

}  // namespace greentrainer::fuzz
