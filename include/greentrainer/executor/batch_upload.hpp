#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/executor/index_block.hpp"
#include "greentrainer/ops/calls.hpp"

namespace greentrainer {

/// Tokens of the longest sequence.
inline Extent longest_sequence(const PackedTokens& tokens) {
  Extent longest = 0;
  for (std::size_t s = 0; s + 1 < tokens.offsets.size(); ++s)
    longest = std::max<Extent>(longest, tokens.offsets[s + 1] - tokens.offsets[s]);
  return longest;
}

/// Offsets of sequences with `prefix` rows in front of each.
inline std::vector<Index> offsets_with_prefix(std::span<const Index> offsets, Extent prefix) {
  std::vector<Index> with(offsets.begin(), offsets.end());
  for (std::size_t s = 0; s < with.size(); ++s) with[s] += static_cast<Index>(static_cast<Extent>(s) * prefix);
  return with;
}
/// Positions behind a prefix: they count on from its length, as in transformers.
inline std::vector<Index> positions_behind_prefix(std::span<const Index> positions, Extent prefix) {
  std::vector<Index> behind(positions.begin(), positions.end());
  for (Index& position : behind) position += static_cast<Index>(prefix);
  return behind;
}

/// Of sequences of which `some` rows are there, behind a prefix of so many.
inline std::vector<SequenceExtent> extents_of(const PackedTokens& some, const PackedTokens& all, Extent prefix) {
  std::vector<SequenceExtent> extents;
  for (std::size_t s = 0; s + 1 < some.offsets.size(); ++s) {
    extents.push_back(
        {.rows = some.offsets[s + 1] - some.offsets[s], .length = prefix + all.offsets[s + 1] - all.offsets[s]});
  }
  return extents;
}

/// Brings batches to the backend. With a `prefix`, the decoder's keys and positions leave room for so many rows in
/// front of each sequence; with `context`, the decoder's rows that are not labelled come apart too.
template <Backend B>
class BatchUpload {
 public:
  using T = typename B::Scalar;

  explicit BatchUpload(B& backend, Extent prefix = 0, bool context = false)
      : backend_(&backend), block_(backend), prefix_(prefix), context_(context) {}

  /// The result is valid until the next call.
  DeviceBatch operator()(const Batch& batch) {
    struct Places {
      std::size_t ids, positions, offsets, key_offsets;
    };
    block_.clear();
    const auto place = [&](const PackedTokens& t, Extent prefix) {
      const std::size_t offsets = block_.place(t.offsets);
      return Places{block_.place(t.ids), block_.place(positions_behind_prefix(t.positions, prefix)), offsets,
                    prefix == 0 ? offsets : block_.place(offsets_with_prefix(t.offsets, prefix))};
    };
    const PackedTokens with_loss = tokens_at(batch.decoder, batch.label_rows);
    const Places decoder = place(batch.decoder, prefix_), encoder = place(batch.encoder, 0),
                 labelled = place(with_loss, prefix_);
    const std::size_t rows = block_.place(batch.label_rows), labels = block_.place(batch.labels);
    PackedTokens without_loss;
    Places context{};
    std::size_t other_rows = 0;
    if (context_) {
      const std::vector<Index> others = context_rows(batch);
      without_loss = tokens_at(batch.decoder, others);
      context = place(without_loss, prefix_);
      other_rows = block_.place(others);
    }
    block_.upload();
    upload_numbers(batch);
    const auto tokens = [&](const PackedTokens& t, const Places& p, Extent prefix) {
      const Extent longest = longest_sequence(t);
      return DeviceTokens{.ids = block_[p.ids],
                          .positions = block_[p.positions],
                          .sequences = SequenceView::packed(block_[p.offsets], t.sequences(), longest),
                          .keys = SequenceView::packed(block_[p.key_offsets], t.sequences(), longest + prefix),
                          .tokens = t.tokens(),
                          .offsets = t.offsets,
                          .prefix = prefix};
    };
    extents_ = {extents_of(batch.decoder, batch.decoder, prefix_), extents_of(batch.encoder, batch.encoder, 0),
                extents_of(with_loss, batch.decoder, prefix_), extents_of(without_loss, batch.decoder, prefix_)};
    DeviceBatch device{.decoder = tokens(batch.decoder, decoder, prefix_),
                       .encoder = tokens(batch.encoder, encoder, 0),
                       .labelled = tokens(with_loss, labelled, prefix_),
                       .label_rows = block_[rows],
                       .labels = block_[labels]};
    device.labelled.keys = device.decoder.keys;
    device.labelled.offsets = {};
    device.decoder.extents = extents_[0];
    device.encoder.extents = extents_[1];
    device.labelled.extents = extents_[2];
    if (context_) {
      device.context = tokens(without_loss, context, prefix_);
      device.context.keys = device.decoder.keys;
      device.context.offsets = {};
      device.context.extents = extents_[3];
      device.context_rows = block_[other_rows];
    }
    return device;
  }

  /// The numbers of the last batch, valid as long as it is.
  const DeviceNumbers<T>& numbers() const { return numbers_; }

 private:
  void upload_numbers(const Batch& batch) {
    numbers_ = {};
    numbers_host_.clear();
    for (const auto* some : {&batch.features, &batch.targets})
      for (const float number : *some) numbers_host_.push_back(static_cast<T>(number));
    if (numbers_host_.empty()) return;
    if (numbers_memory_.size() < static_cast<Extent>(numbers_host_.size())) {
      numbers_memory_ = {};  // free before asking for more
      numbers_memory_ = Tensor<B>(*backend_, 1, static_cast<Extent>(numbers_host_.size()));
    }
    numbers_memory_.upload(numbers_host_);
    const auto rows_of = [](const T* data, Extent size, Extent rows) {
      return size == 0 || rows == 0 ? Matrix<const T>{} : Matrix<const T>{data, rows, size / rows};
    };
    const auto features = static_cast<Extent>(batch.features.size());
    numbers_ = {.features = rows_of(numbers_memory_.data(), features, batch.decoder.tokens()),
                .targets = rows_of(numbers_memory_.data() + features, static_cast<Extent>(batch.targets.size()),
                                   batch.labelled())};
  }

  B* backend_;
  IndexBlock<B> block_;
  Extent prefix_;
  bool context_;
  std::vector<T> numbers_host_ = {};
  Tensor<B> numbers_memory_ = {};
  DeviceNumbers<T> numbers_ = {};
  std::vector<std::vector<SequenceExtent>> extents_ = {};  ///< of the last batch: decoder, encoder, labelled, context
};

}  // namespace greentrainer
