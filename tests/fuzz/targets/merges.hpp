#pragma once

// reader: tokenizers/merges.hpp tokenizers/vocabulary.hpp

#include <cstddef>
#include <string_view>
#include <vector>

#include "fuzz/targets/tokenizer_json.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/tokenizers/bpe.hpp"

namespace greentrainer::fuzz {

/// A GPT-2 folder: vocab.json in front of the first NUL, merges.txt behind it. Without a NUL the model of a
/// tokenizer.json, which holds both.
inline void merges(std::string_view input) {
  if (input.find('\0') == std::string_view::npos) {
    const Json json = parse_json(input, "input");
    const auto model = make_bpe(Component(json, "input"));
    TextBudget budget(text_of_scripts.size(), "input");
    std::vector<PieceToken> tokens;
    for (const std::size_t size : {text_of_scripts.size(), std::size_t{9}})
      model->tokenize(text_of_scripts.substr(0, size), tokens, budget);
    return;
  }
  static const InputFolder folder;
  const auto [vocabulary, lines] = two_parts(input);
  folder.write("vocab.json", vocabulary);
  folder.write("merges.txt", lines);
  use(*load_tokenizer(folder.path()));
}

}  // namespace greentrainer::fuzz
