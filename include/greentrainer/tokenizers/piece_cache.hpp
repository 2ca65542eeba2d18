#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/tokenizers/vocabulary.hpp"

namespace greentrainer {

/// Remembers the ids of pieces: words repeat, texts do not. Usable from many threads.
class PieceCache {
 public:
  /// Appends the ids of a piece: those that are remembered, else those that `tokenize(piece, ids)` appends.
  template <class Tokenize>
  void append(std::string_view piece, std::vector<Index>& ids, const Tokenize& tokenize) const {
    if (piece.size() > longest) {
      tokenize(piece, ids);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = ids_.find(piece); found != ids_.end()) {
        ids.insert(ids.end(), found->second.begin(), found->second.end());
        return;
      }
    }
    const auto before = static_cast<std::ptrdiff_t>(ids.size());
    tokenize(piece, ids);
    const std::lock_guard lock(mutex_);
    if (ids_.size() < most) ids_.try_emplace(std::string(piece), ids.begin() + before, ids.end());
  }

 private:
  // 2^16 words of 64 bytes and their ids are a few MB.
  static constexpr std::size_t longest = 64;
  static constexpr std::size_t most = std::size_t{1} << 16;

  mutable std::mutex mutex_;
  mutable StringMap<std::vector<Index>> ids_;
};

}  // namespace greentrainer
