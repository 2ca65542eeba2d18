#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"

namespace greentrainer {

/// How an encoder-decoder's targets are made.
struct TargetOptions {
  TargetShift shift;
  Extent max_tokens = 512;  ///< of a target, EOS included; rows with more are dropped
};

namespace source_and_target {

/// The example of ids. The source loses its end beyond `max_tokens`; a target that is too long makes nothing.
inline std::optional<Example> example(std::vector<Index> source, const std::vector<Index>& labels, Extent max_tokens,
                                      const TargetOptions& target, bool& truncated) {
  if (source.empty() || labels.empty() || static_cast<Extent>(labels.size()) > target.max_tokens) return std::nullopt;
  if (static_cast<Extent>(source.size()) > max_tokens) {
    truncated = true;
    source.resize(static_cast<std::size_t>(max_tokens));
  }
  return encoder_decoder_example(std::move(source), labels, target.shift);
}

}  // namespace source_and_target

}  // namespace greentrainer
