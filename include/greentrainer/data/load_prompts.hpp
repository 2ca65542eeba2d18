#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/data/dataset.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// Prompts to answer, and what is right.
struct Prompts {
  std::vector<std::vector<Index>> ids;  ///< what a decoder-only model goes on with, or an encoder-decoder's source
  std::vector<std::vector<std::string>>
      references;             ///< right answers; none where a row of JSON lines has no completion
  std::vector<Extent> lines;  ///< of the file, from 1
  Extent rows_truncated = 0;
  Extent first_truncated_line = 0;  ///< 0: no prompt was truncated
  IgnoredKeys ignored_keys;         ///< of rows: not read
};

/// Reads prompts for generation, of *.txt files one a line: what training puts in front of answers, of a conversation
/// of its last one. Each has at most `options.max_tokens` less `new_tokens` tokens, an encoder-decoder's max_tokens,
/// and what is beyond goes as options.truncation says. Throws as load_jsonl, and DataError for a file without a row.
Prompts load_prompts(const std::filesystem::path& path, const Tokenizer& tokenizer, const DataOptions& options,
                     Extent new_tokens);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/data/load_prompts_inl.hpp"
#endif
