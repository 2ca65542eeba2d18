#pragma once

#include <string>

#include "greentrainer/data/load_jsonl.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer::program {

/// What the options say about data files.
struct DataChoice {
  std::string dataset;    ///< name of a known set's own form, or empty: JSON lines as in --help
  Extent max_tokens = 0;  ///< 0: as many as the model has positions, at most 512
  Extent target_tokens = 0;  ///< of an encoder-decoder's completion; 0: 512
};

/// Throws ConfigError for more tokens than the model has positions.
Extent max_tokens(const DataChoice& choice, const ModelFacts& facts);

/// Reads a file and says on stderr what was dropped and truncated. `tokenizer` may be null: then only {"input_ids", "labels"} can be read.
/// Throws DataError naming file and line for what the model cannot read, and if no row is left; ConfigError for target tokens of a model without targets.
Dataset load_data(const std::string& path, const Tokenizer* tokenizer, const ModelFacts& facts, const DataChoice& choice);

}  // namespace greentrainer::program
