#pragma once

#include <memory>

#include "greentrainer/core/compiled.hpp"
#include "greentrainer/io/model_files.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// The tokenizer of a model's files, as in a Hugging Face folder: tokenizer.json, else T5's spiece.model (Unigram),
/// else vocab.json with merges.txt (byte-level BPE, as GPT-2 and OPT), else Mistral's tekken.json, else a tiktoken file
/// of Llama 3's, tokenizer.model or tiktoken.model. Special tokens come from the files beside it (TokenizerSettings).
/// Throws LoadError naming the file, and what in it is not supported.
std::shared_ptr<const Tokenizer> load_tokenizer(const ModelFiles& files);

/// Whether there is a file of a tokenizer that load_tokenizer reads.
bool has_tokenizer(const ModelFiles& files);

}  // namespace greentrainer

#ifndef GREENTRAINER_COMPILED
#include "greentrainer/tokenizers/load_tokenizer_inl.hpp"
#endif
