#pragma once

// reader: tokenizers/ranked_tokenizer.hpp io/base64.hpp

#include <filesystem>
#include <string_view>

#include "fuzz/targets/tokenizer_json.hpp"

namespace greentrainer::fuzz {

/// A tekken.json, or lines of tiktoken's and behind the first NUL, if there is one, the tokenizer_config.json beside
/// them.
inline void ranked_tokenizer(std::string_view input) {
  static const InputFolder folder;
  const auto [ranks, settings] = two_parts(input);
  const bool is_tekken = ranks.starts_with('{');
  std::filesystem::remove(folder.path() / (is_tekken ? "tokenizer.model" : "tekken.json"));
  folder.write(is_tekken ? "tekken.json" : "tokenizer.model", ranks);
  folder.write("tokenizer_config.json", settings.empty() ? "{}" : settings);
  use(*load_tokenizer(folder.path()));
}

}  // namespace greentrainer::fuzz
