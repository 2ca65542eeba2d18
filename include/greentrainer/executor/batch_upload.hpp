#pragma once

#include <algorithm>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/executor/index_block.hpp"
#include "greentrainer/ops/calls.hpp"

namespace greentrainer {

/// Tokens of the longest sequence.
inline Extent longest_sequence(const PackedTokens& tokens) {
  Extent longest = 0;
  for (std::size_t s = 0; s + 1 < tokens.offsets.size(); ++s) longest = std::max<Extent>(longest, tokens.offsets[s + 1] - tokens.offsets[s]);
  return longest;
}

/// Brings batches to the backend.
template <Backend B>
class BatchUpload {
 public:
  explicit BatchUpload(B& backend) : block_(backend) {}

  /// The result is valid until the next call.
  DeviceBatch operator()(const Batch& batch) {
    struct Places {
      std::size_t ids, positions, offsets;
    };
    block_.clear();
    const auto place = [&](const PackedTokens& t) { return Places{block_.place(t.ids), block_.place(t.positions), block_.place(t.offsets)}; };
    const Places decoder = place(batch.decoder), encoder = place(batch.encoder);
    const std::size_t rows = block_.place(batch.label_rows), labels = block_.place(batch.labels);
    block_.upload();
    const auto tokens = [&](const PackedTokens& t, const Places& p) {
      const auto sequences = SequenceView::packed(block_[p.offsets], t.sequences(), longest_sequence(t));
      return DeviceTokens{.ids = block_[p.ids], .positions = block_[p.positions], .sequences = sequences, .keys = sequences, .tokens = t.tokens()};
    };
    return {.decoder = tokens(batch.decoder, decoder),
            .encoder = tokens(batch.encoder, encoder),
            .label_rows = block_[rows],
            .labels = block_[labels],
            .labelled = batch.labelled()};
  }

 private:
  IndexBlock<B> block_;
};

}  // namespace greentrainer
