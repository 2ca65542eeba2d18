#pragma once

#include <utility>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// One training example: tokens in, and for every token the id that should come next (ignore_label: no loss there).
/// `labels` are as in transformers: aligned with input_ids, not yet shifted. Encoder-decoder models also fill
/// `source_ids`; their input_ids are the target behind the id that decoding starts with. Each token is a row of what
/// the model computes; a row may have numbers beside its id, or instead: then ids are 0.
struct Example {
  std::vector<Index> input_ids = {};
  std::vector<Index> labels = {};
  std::vector<Index> source_ids = {};
  bool shifts_labels = true;         ///< a row predicts the label of the next one, as language models do; else its own
  std::vector<float> features = {};  ///< numbers of each row, equally many, row after row (DenseInput)
  std::vector<float> targets = {};   ///< that each row with a label predicts, row after row (SquaredError)
};

/// One row of numbers, of which others are to be predicted.
inline Example regression_example(std::vector<float> features, std::vector<float> targets) {
  return {.input_ids = {0},
          .labels = {0},
          .shifts_labels = false,
          .features = std::move(features),
          .targets = std::move(targets)};
}
/// One row of numbers that is of a class.
inline Example dense_class_example(std::vector<float> features, Index label) {
  return {.input_ids = {0}, .labels = {label}, .shifts_labels = false, .features = std::move(features)};
}
/// A sequence that is of a class: its last token predicts it, or a mean of all (MeanRows).
inline Example class_example(std::vector<Index> ids, Index label) {
  std::vector<Index> labels(ids.size(), ignore_label);
  if (!labels.empty()) labels.back() = label;
  return {.input_ids = std::move(ids), .labels = std::move(labels), .shifts_labels = false};
}
/// The same for an encoder: the decoder's stream has one row, which stands for the example.
inline Example encoder_class_example(std::vector<Index> source, Index label) {
  return {.input_ids = {0}, .labels = {label}, .source_ids = std::move(source), .shifts_labels = false};
}

/// The two ids that shifting an encoder-decoder's target needs: the one that decoding starts with, and the one that is
/// fed in place of a target token without a label.
struct TargetShift {
  Index start = 0;
  Index pad = 0;
};

/// The example of a source and the labels of its target.
inline Example encoder_decoder_example(std::vector<Index> source, const std::vector<Index>& labels, TargetShift shift) {
  Example example{.input_ids = {shift.start}, .labels = {ignore_label}, .source_ids = std::move(source)};
  for (const Index label : labels) {
    example.input_ids.push_back(label == ignore_label ? shift.pad : label);
    example.labels.push_back(label);
  }
  return example;
}

/// Positions of models without a table of them, nor rotary ones: they read sequences of any length, within reason.
inline constexpr Extent unlimited_positions = Extent{1} << 20;

/// Sequences laid end to end without padding. Sequence s holds the tokens [offsets[s], offsets[s + 1]).
struct PackedTokens {
  std::vector<Index> ids = {};
  std::vector<Index> positions = {};  ///< of each token within its sequence, from 0
  std::vector<Index> offsets = {0};   ///< sequences + 1 entries

  /// Adds a sequence.
  void append(const std::vector<Index>& sequence) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    for (Index t = 0; t < static_cast<Index>(sequence.size()); ++t) positions.push_back(t);
    offsets.push_back(static_cast<Index>(ids.size()));
  }
  Extent tokens() const { return static_cast<Extent>(ids.size()); }
  Extent sequences() const { return static_cast<Extent>(offsets.size()) - 1; }
};

/// What one forward pass reads: packed tokens, and the rows that carry loss with the ids they should predict.
struct Batch {
  PackedTokens decoder = {};           ///< the only stream of a decoder-only model
  PackedTokens encoder = {};           ///< empty for decoder-only models
  std::vector<Index> label_rows = {};  ///< rows of the decoder stream, ascending
  std::vector<Index> labels = {};      ///< one for each label row: already shifted
  std::vector<float> features = {};    ///< of each row of the decoder stream, row after row; empty without
  std::vector<float> targets = {};     ///< of each label row, row after row; empty without

  Extent labelled() const { return static_cast<Extent>(label_rows.size()); }
};

/// Some rows of packed tokens, ascending, with the positions that they have in their sequences.
inline PackedTokens tokens_at(const PackedTokens& all, const std::vector<Index>& rows) {
  PackedTokens some;
  auto row = rows.begin();
  for (std::size_t s = 1; s < all.offsets.size(); ++s) {
    for (; row != rows.end() && *row < all.offsets[s]; ++row) {
      some.ids.push_back(all.ids[static_cast<std::size_t>(*row)]);
      some.positions.push_back(all.positions[static_cast<std::size_t>(*row)]);
    }
    some.offsets.push_back(static_cast<Index>(some.ids.size()));
  }
  return some;
}

/// The rows of the decoder stream that carry no loss, ascending.
inline std::vector<Index> context_rows(const Batch& batch) {
  std::vector<Index> rows;
  auto labelled = batch.label_rows.begin();
  for (Index row = 0; row < static_cast<Index>(batch.decoder.tokens()); ++row) {
    if (labelled != batch.label_rows.end() && *labelled == row)
      ++labelled;
    else
      rows.push_back(row);
  }
  return rows;
}

}  // namespace greentrainer
