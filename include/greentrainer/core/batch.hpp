#pragma once

#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// One training example: tokens in, and for every token the id that should come next (ignore_label: no loss there).
/// `labels` are as in transformers: aligned with input_ids, not yet shifted. Encoder-decoder models also fill `source_ids`.
struct Example {
  std::vector<Index> input_ids;
  std::vector<Index> labels;
  std::vector<Index> source_ids;
};

/// Sequences laid end to end without padding. Sequence s holds the tokens [offsets[s], offsets[s + 1]).
struct PackedTokens {
  std::vector<Index> ids;
  std::vector<Index> positions;     ///< of each token within its sequence, from 0
  std::vector<Index> offsets = {0};  ///< sequences + 1 entries

  Extent tokens() const { return static_cast<Extent>(ids.size()); }
  Extent sequences() const { return static_cast<Extent>(offsets.size()) - 1; }
};

/// What one forward pass reads: packed tokens, and the rows that carry loss with the ids they should predict.
struct Batch {
  PackedTokens decoder;            ///< the only stream of a decoder-only model
  PackedTokens encoder;            ///< empty for decoder-only models
  std::vector<Index> label_rows;   ///< rows of the decoder stream, ascending
  std::vector<Index> labels;       ///< one for each label row: already shifted

  Extent labelled() const { return static_cast<Extent>(labels.size()); }
};

}  // namespace greentrainer
