#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/secret_hash.hpp"
#include "greentrainer/tokenizers/token_model.hpp"

namespace greentrainer {

/// Remembers the tokens of pieces: words repeat, texts do not. Usable from many threads.
class PieceCache {
 public:
  /// Appends the tokens of a piece: those that are remembered, else those that `tokenize(piece, tokens)` appends.
  template <class Tokenize>
  void append(std::string_view piece, std::vector<PieceToken>& tokens, const Tokenize& tokenize) const {
    if (piece.size() > longest) {
      tokenize(piece, tokens);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = tokens_.find(piece); found != tokens_.end()) {
        tokens.insert(tokens.end(), found->second.begin(), found->second.end());
        return;
      }
    }
    const auto before = static_cast<std::ptrdiff_t>(tokens.size());
    tokenize(piece, tokens);
    const std::lock_guard lock(mutex_);
    if (tokens_.size() < most) tokens_.try_emplace(std::string(piece), tokens.begin() + before, tokens.end());
  }

 private:
  // 2^16 words of 64 bytes and their tokens are some 10 MB.
  static constexpr std::size_t longest = 64;
  static constexpr std::size_t most = std::size_t{1} << 16;

  mutable std::mutex mutex_;
  mutable StringMap<std::vector<PieceToken>> tokens_;
};

}  // namespace greentrainer
