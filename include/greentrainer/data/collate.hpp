#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/workload.hpp"

namespace greentrainer {

/// How far a row's label stands behind it.
inline Index label_shift(const Example& example) { return example.shifts_labels ? 1 : 0; }

/// The rows of the decoder stream that a batch has of an example.
inline Index rows_read(const Example& example) {
  const auto length = static_cast<Index>(example.input_ids.size());
  return example.source_ids.empty() ? length : std::max(1, length - label_shift(example));
}

/// Throws DataError for an example, the i-th, whose labels, features or targets do not match its tokens.
inline void check_example(const Example& example, std::size_t i) {
  const std::size_t tokens = example.input_ids.size();
  if (example.labels.size() != tokens || tokens == 0) {
    throw DataError("collate", text("example ", i),
                    text("expected one label for each of at least one token, got ", tokens, " tokens and ",
                         example.labels.size(), " labels"));
  }
  if (example.features.size() % tokens != 0) {
    throw DataError(
        "collate", text("example ", i),
        text("expected equally many features for each of ", tokens, " rows, got ", example.features.size()));
  }
  if (example.targets.empty()) return;
  const auto labelled =
      static_cast<std::size_t>(std::count_if(example.labels.begin() + label_shift(example), example.labels.end(),
                                             [](Index label) { return label != ignore_label; }));
  if (labelled == 0 || example.targets.size() % labelled != 0) {
    throw DataError("collate", text("example ", i),
                    text("expected equally many targets for each of ", labelled, " rows with a label, got ",
                         example.targets.size()));
  }
}

namespace detail {

/// Appends the numbers of one more example's rows to those of a batch. Throws DataError unless each row has as many as
/// the rows before.
inline void append_numbers(std::vector<float>& all, std::size_t rows_before, std::span<const float> numbers,
                           std::size_t rows, const char* what, std::size_t i) {
  if (all.size() * rows != numbers.size() * rows_before) {
    throw DataError("collate", text("example ", i),
                    text("expected as many ", what, " a row as the batch's other rows have, ", all.size() / rows_before,
                         ", got ", numbers.size() / rows));
  }
  all.insert(all.end(), numbers.begin(), numbers.end());
}

}  // namespace detail

/// Packs the examples of these numbers into one batch. Labels are shifted here, where examples shift them: the row of
/// token t predicts the label of token t + 1 of the same example; rows without one carry no loss. A sequence's last
/// token then predicts nothing; as in transformers, a decoder alone reads it all the same, the decoder of an
/// encoder-decoder does not. Throws DataError for an example whose labels, features or targets do not match its tokens
/// or the other examples.
inline Batch collate(std::span<const Example> examples, std::span<const std::size_t> indices) {
  Batch batch;
  for (const std::size_t i : indices) {
    const Example& example = examples[i];
    check_example(example, i);
    const auto length = static_cast<Index>(example.input_ids.size());
    const Index read = rows_read(example), shift = label_shift(example);
    const std::size_t rows_before = batch.decoder.ids.size(), labelled_before = batch.labels.size();
    for (Index t = 0; t < read; ++t) {
      const auto at = static_cast<std::size_t>(t + shift);
      if (t + shift < length && example.labels[at] != ignore_label) {
        batch.label_rows.push_back(static_cast<Index>(batch.decoder.ids.size()));
        batch.labels.push_back(example.labels[at]);
      }
      batch.decoder.ids.push_back(example.input_ids[static_cast<std::size_t>(t)]);
      batch.decoder.positions.push_back(t);
    }
    batch.decoder.offsets.push_back(static_cast<Index>(batch.decoder.ids.size()));
    const auto rows = static_cast<std::size_t>(read), labelled = batch.labels.size() - labelled_before;
    const std::size_t features = example.features.size() / example.input_ids.size() * rows;
    detail::append_numbers(batch.features, rows_before, std::span(example.features).first(features), rows, "features",
                           i);
    if (labelled > 0) detail::append_numbers(batch.targets, labelled_before, example.targets, labelled, "targets", i);
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
  const auto source = static_cast<Extent>(example.source_ids.size());
  const Extent read = rows_read(example);
  const auto first = static_cast<std::size_t>(label_shift(example));  // whose label row 0 predicts
  Workload w;
  w[Measure::steps] = 1;
  w[Measure::decoder_sequences] = 1;
  w[Measure::decoder_tokens] = read;
  Extent labelled = 0, pairs = 0;  // without branches, so that compilers do several at once
  for (std::size_t t = first; t < example.labels.size(); ++t) {
    const Extent reads = example.labels[t] != ignore_label ? 1 : 0;
    labelled += reads;
    pairs += reads * static_cast<Extent>(t + 1 - first);
  }
  w[Measure::labelled_tokens] = labelled;
  w[Measure::labelled_pairs] = pairs;
  w[Measure::decoder_pairs] = causal_pairs(read);
  w.window = window;
  if (window > 0) {
    w[Measure::window_pairs] = causal_pairs(read, window);
    for (std::size_t t = first; t < example.labels.size(); ++t) {
      if (example.labels[t] != ignore_label)
        w[Measure::labelled_window_pairs] += std::min(static_cast<Extent>(t + 1 - first), window);
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
