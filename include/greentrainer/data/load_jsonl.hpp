#pragma once

#include <filesystem>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/data/dataset.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// Reads a file of one JSON object a line, or, by its name, of one text a line (*.txt), or, with `options.dataset`, one
/// in that data set's own form. Any may be gzip; "-" is standard input. Throws LoadError if it cannot be read,
/// DataError naming file and line of the first bad row, or if no row is left to train on, UsageError for a data set
/// that is not known.
Dataset load_jsonl(const std::filesystem::path& path, const Tokenizer* tokenizer, const DataOptions& options = {});

inline Dataset load_jsonl(const std::filesystem::path& path, const Tokenizer& tokenizer,
                          const DataOptions& options = {}) {
  return load_jsonl(path, &tokenizer, options);
}

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/data/load_jsonl_inl.hpp"
#endif
