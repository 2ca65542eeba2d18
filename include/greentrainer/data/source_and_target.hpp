#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/data/truncation.hpp"

namespace greentrainer {

/// How an encoder-decoder's targets are made.
struct TargetOptions {
  TargetShift shift;
  Extent max_tokens = 512;  ///< of a target, EOS included; rows with more are dropped
};

namespace source_and_target {

/// The example of ids. The source loses its end beyond `max_tokens`; a target that is too long makes nothing.
/// Throws DataError where neither may be cut.
inline std::optional<Example> example(std::vector<Index> source, const std::vector<Index>& labels, Extent max_tokens,
                                      const TargetOptions& target, Truncation truncation, bool& truncated) {
  const auto length = static_cast<Extent>(source.size()), target_length = static_cast<Extent>(labels.size());
  const bool refuses = truncation == Truncation::refuse;
  if (refuses && target_length > target.max_tokens) refuse_to_cut("labels", target.max_tokens, target_length);
  if (source.empty() || labels.empty() || target_length > target.max_tokens) return std::nullopt;
  if (refuses && length > max_tokens) refuse_to_cut("input_ids", max_tokens, length);
  if (length > max_tokens) {
    truncated = true;
    source.resize(static_cast<std::size_t>(max_tokens));
  }
  return encoder_decoder_example(std::move(source), labels, target.shift);
}

}  // namespace source_and_target

}  // namespace greentrainer
