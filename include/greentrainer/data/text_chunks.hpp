#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// What becomes of texts that have more tokens than an example may have.
enum class Packing {
  none,    ///< they lose their end, see Truncation
  each,    ///< each is cut into as many examples as it takes
  joined,  ///< all are laid end to end, with the BOS and EOS of each, and cut: an example may hold parts of several
};

inline constexpr std::array<std::string_view, 3> packing_names = {"none", "each", "joined"};

/// Throws UsageError for a name that is none of packing_names.
inline Packing parse_packing(std::string_view name) {
  for (std::size_t i = 0; i < packing_names.size(); ++i) {
    if (name == packing_names[i]) return static_cast<Packing>(i);
  }
  throw UsageError("pack", "pack", text("expected none, each or joined, got ", name));
}

/// Cuts an example into pieces of at most `most` tokens (at least 2). Each piece but the first begins with the last
/// token of the one before, which carries no loss there: so every label is predicted exactly once, by at least one
/// token in front of it. An example that fits is its only piece.
inline std::vector<Example> chunks_of(const Example& whole, Extent most) {
  const auto size = static_cast<Extent>(whole.input_ids.size());
  std::vector<Example> pieces;
  for (Extent begin = 0; begin == 0 || begin < size - 1; begin += most - 1) {
    const Extent end = std::min(begin + most, size);
    Example piece{.input_ids = {whole.input_ids.begin() + begin, whole.input_ids.begin() + end},
                  .labels = {whole.labels.begin() + begin, whole.labels.begin() + end},
                  .source_ids = {}};
    if (begin > 0) piece.labels.front() = ignore_label;
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace greentrainer
