#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/workload.hpp"

namespace greentrainer {

/// Throws DataError for an example, the i-th, whose labels do not match its tokens.
inline void check_example(const Example& example, std::size_t i) {
  if (example.labels.size() == example.input_ids.size() && !example.input_ids.empty()) return;
  throw DataError("collate", text("example ", i),
                  text("expected one label for each of at least one token, got ", example.input_ids.size(),
                       " tokens and ", example.labels.size(), " labels"));
}

/// Packs the examples of these numbers into one batch. Labels are shifted here: the row of token t predicts the label
/// of token t + 1 of the same example; rows without one carry no loss. A sequence's last token predicts nothing; as in
/// transformers, a decoder alone reads it all the same, the decoder of an encoder-decoder does not. Throws DataError
/// for an example whose labels do not match its tokens.
inline Batch collate(std::span<const Example> examples, std::span<const std::size_t> indices) {
  Batch batch;
  for (const std::size_t i : indices) {
    const Example& example = examples[i];
    check_example(example, i);
    const auto length = static_cast<Index>(example.input_ids.size());
    const Index read = example.source_ids.empty() ? length : std::max(1, length - 1);
    for (Index t = 0; t < read; ++t) {
      const auto next = static_cast<std::size_t>(t) + 1;
      if (t + 1 < length && example.labels[next] != ignore_label) {
        batch.label_rows.push_back(static_cast<Index>(batch.decoder.ids.size()));
        batch.labels.push_back(example.labels[next]);
      }
      batch.decoder.ids.push_back(example.input_ids[static_cast<std::size_t>(t)]);
      batch.decoder.positions.push_back(t);
    }
    batch.decoder.offsets.push_back(static_cast<Index>(batch.decoder.ids.size()));
    if (example.source_ids.empty()) continue;
    for (Index t = 0; t < static_cast<Index>(example.source_ids.size()); ++t) {
      batch.encoder.ids.push_back(example.source_ids[static_cast<std::size_t>(t)]);
      batch.encoder.positions.push_back(t);
    }
    batch.encoder.offsets.push_back(static_cast<Index>(batch.encoder.ids.size()));
  }
  return batch;
}

/// The workload of a batch of this example alone, without making the batch. Workloads add up over the sequences of a
/// batch, but for Measure::steps. `window`: that of the model's attention, 0 for none. Requires an example that
/// collate() accepts.
inline Workload workload_of(const Example& example, Extent window = 0) {
  const auto length = static_cast<Extent>(example.input_ids.size());
  const auto source = static_cast<Extent>(example.source_ids.size());
  const Extent read = source == 0 ? length : std::max<Extent>(1, length - 1);
  Workload w;
  w[Measure::steps] = 1;
  w[Measure::decoder_sequences] = 1;
  w[Measure::decoder_tokens] = read;
  Extent labelled = 0, pairs = 0;  // without branches, so that compilers do several at once
  for (std::size_t t = 1; t < example.labels.size(); ++t) {
    const Extent reads = example.labels[t] != ignore_label ? 1 : 0;
    labelled += reads;
    pairs += reads * static_cast<Extent>(t);
  }
  w[Measure::labelled_tokens] = labelled;
  w[Measure::labelled_pairs] = pairs;
  w[Measure::decoder_pairs] = causal_pairs(read);
  w.window = window;
  if (window > 0) {
    w[Measure::window_pairs] = causal_pairs(read, window);
    for (std::size_t t = 1; t < example.labels.size(); ++t) {
      if (example.labels[t] != ignore_label)
        w[Measure::labelled_window_pairs] += std::min(static_cast<Extent>(t), window);
    }
  }
  count_context(w);
  if (source == 0) return w;
  w[Measure::encoder_sequences] = 1;
  w[Measure::encoder_tokens] = source;
  w[Measure::encoder_pairs] = source * source;
  w[Measure::cross_pairs] = read * source;
  w[Measure::labelled_cross_pairs] = w[Measure::labelled_tokens] * source;
  return w;
}

}  // namespace greentrainer
