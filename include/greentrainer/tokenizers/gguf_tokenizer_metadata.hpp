#pragma once

#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/gguf_writer.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// A tokenizer as GGUF's metadata have it: the inverse of gguf_tokenizer_files.
struct GgufTokenizerMetadata {
  GgufMetadata metadata = {};
  std::vector<std::string> notices = {};  ///< what the metadata cannot say, a line each
};

/// The metadata of the tokenizer of a model's files, which `tokenizer` was loaded from. `rows`: of the embedding, each
/// of which gets a token; those without one are unused. `ends`: ids that end a text.
///
/// The pre-tokenizer's name is found by trying: of those that gguf_tokenizer_files knows, one by which texts of all
/// kinds (letters, digits, blanks, marks, code) have the ids that they have here. Throws ConfigError naming the file
/// where there is none, for a tokenizer other than byte-level and SentencePiece's BPE, and for one with more tokens
/// than rows.
GgufTokenizerMetadata gguf_tokenizer_metadata(const ModelFiles& files, const Tokenizer& tokenizer, Extent rows,
                                              std::span<const Index> ends);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/tokenizers/gguf_tokenizer_metadata_inl.hpp"
#endif
