#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/ops/calls.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// Brings batches to the backend: one block of memory that grows to the largest batch and one copy a batch.
template <Backend B>
class BatchUpload {
 public:
  explicit BatchUpload(B& backend) : backend_(&backend) {}

  /// The result is valid until the next call.
  DeviceBatch operator()(const Batch& batch) {
    host_.clear();
    const auto place = [&](const std::vector<Index>& values) {
      const std::size_t at = host_.size();
      host_.insert(host_.end(), values.begin(), values.end());
      return at;
    };
    struct Places {
      std::size_t ids, positions, offsets;
    };
    const auto place_tokens = [&](const PackedTokens& t) { return Places{place(t.ids), place(t.positions), place(t.offsets)}; };
    const Places decoder = place_tokens(batch.decoder);
    const Places encoder = place_tokens(batch.encoder);
    const std::size_t rows = place(batch.label_rows);
    const std::size_t labels = place(batch.labels);

    if (device_.size() < static_cast<Extent>(host_.size())) device_ = Tensor<B, Index>(*backend_, 1, static_cast<Extent>(host_.size()));
    device_.upload(host_);
    const Index* base = device_.data();
    const auto tokens = [&](const PackedTokens& t, const Places& p) {
      Extent longest = 0;
      for (std::size_t s = 0; s + 1 < t.offsets.size(); ++s) longest = std::max<Extent>(longest, t.offsets[s + 1] - t.offsets[s]);
      return DeviceTokens{.ids = base + p.ids,
                          .positions = base + p.positions,
                          .sequences = SequenceView::packed(base + p.offsets, t.sequences(), longest),
                          .tokens = t.tokens()};
    };
    return {.decoder = tokens(batch.decoder, decoder),
            .encoder = tokens(batch.encoder, encoder),
            .label_rows = base + rows,
            .labels = base + labels,
            .labelled = batch.labelled()};
  }

 private:
  B* backend_;
  Tensor<B, Index> device_;
  std::vector<Index> host_;
};

}  // namespace greentrainer
