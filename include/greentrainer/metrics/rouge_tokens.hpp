#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/metrics/porter_stemmer.hpp"

namespace greentrainer {

/// The words that ROUGE compares, as rouge-score's default tokenizer makes them: runs of ASCII letters and digits in
/// lower case; with `stem`, those of more than three characters are stemmed. Everything else, other scripts included,
/// only separates. Any bytes will do.
inline std::vector<std::string> rouge_tokens(std::string_view text, bool stem) {
  std::vector<std::string> tokens;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) tokens.push_back(stem && word.size() > 3 ? porter_stem(std::move(word)) : std::move(word));
    word.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::string_view rest = text.substr(i);
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      word += c;
    } else if (c >= 'A' && c <= 'Z') {
      word += static_cast<char>(c - 'A' + 'a');
    } else if (rest.starts_with("\xE2\x84\xAA")) {  // the Kelvin sign: the one sign beyond ASCII whose lower case is a
                                                    // letter of it...
      word += 'k';
      i += 2;
    } else if (rest.starts_with("\xC4\xB0")) {  // ...but for the dotted capital I, which becomes i and a combining dot
      word += 'i';
      finish();
    } else {
      finish();
    }
  }
  finish();
  return tokens;
}

}  // namespace greentrainer
