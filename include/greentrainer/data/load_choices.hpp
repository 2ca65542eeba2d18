#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/compiled.hpp"
#include "greentrainer/data/dataset.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// Questions with a few answers to choose from.
struct Choices {
  struct Row {
    std::vector<Example>
        candidates;          ///< the same prompt with each candidate, which alone carries loss; no EOS behind it
    std::size_t answer = 0;  ///< which of them is right
    Extent line = 0;         ///< of the file, from 1
  };
  std::vector<Row> rows;
  Extent rows_truncated = 0;
};

/// Reads a data set whose task is a choice (options.dataset). Throws UsageError for any other, and as load_jsonl.
Choices load_choices(const std::filesystem::path& path, const Tokenizer& tokenizer, const DataOptions& options);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/data/load_choices_inl.hpp"
#endif
