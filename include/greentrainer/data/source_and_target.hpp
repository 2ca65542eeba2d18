#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/data/text_forms.hpp"
#include "greentrainer/tokenizers/tokenizer.hpp"

namespace greentrainer {

/// How an encoder-decoder's targets are made.
struct TargetOptions {
  TargetShift shift;
  Extent max_tokens = 512;  ///< of a target, EOS included; rows with more are dropped
};

namespace source_and_target {

/// What the encoder reads and what the decoder says: the row's own pair, or what carries no loss and what follows with loss.
inline TextPieces::Pair pair_of(const TextPieces& pieces) {
  if (pieces.pair) return *pieces.pair;
  TextPieces::Pair pair;
  for (const auto& piece : pieces.pieces) {
    if (!piece.labelled && !pair.target.empty()) {
      throw DataError("data", "row: expected a prompt and then a completion for an encoder-decoder model, got several turns");
    }
    (piece.labelled ? pair.target : pair.source) += piece.text;
  }
  if (pair.source.empty()) throw DataError("data", "row: expected a prompt beside the completion for an encoder-decoder model, got none");
  return pair;
}

/// The example of ids. The source loses its end beyond `max_tokens`; a target that is too long makes nothing.
inline std::optional<Example> example(std::vector<Index> source, const std::vector<Index>& labels, Extent max_tokens, const TargetOptions& target,
                                      bool& truncated) {
  if (source.empty() || labels.empty() || static_cast<Extent>(labels.size()) > target.max_tokens) return std::nullopt;
  if (static_cast<Extent>(source.size()) > max_tokens) {
    truncated = true;
    source.resize(static_cast<std::size_t>(max_tokens));
  }
  return encoder_decoder_example(std::move(source), labels, target.shift);
}

/// The example of texts, EOS behind both; it stays when the source is cut.
inline std::optional<Example> example(const TextPieces& pieces, const Tokenizer& tokenizer, Extent max_tokens, const TargetOptions& target,
                                      bool& truncated) {
  const TextPieces::Pair pair = pair_of(pieces);
  std::vector<Index> source = tokenizer.encode(pair.source), labels = tokenizer.encode(pair.target);
  if (const auto eos = tokenizer.eos_id()) {
    if (static_cast<Extent>(source.size()) >= max_tokens) {
      truncated = true;
      source.resize(static_cast<std::size_t>(max_tokens - 1));
    }
    source.push_back(*eos);
    if (pieces.ends_with_eos) labels.push_back(*eos);
  }
  return example(std::move(source), labels, max_tokens, target, truncated);
}

}  // namespace source_and_target

}  // namespace greentrainer
