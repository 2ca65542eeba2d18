#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/tokenizers/token_model.hpp"
#include "greentrainer/tokenizers/vocabulary.hpp"

namespace greentrainer {

/// The token that spells a byte where characters are unknown: "<0x0A>".
inline std::string byte_token(unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte / 16] + digits[byte % 16] + '>';
}

/// The byte that such a token stands for, or nothing.
inline std::optional<unsigned char> parse_byte_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (char c : token.substr(3, 2)) {
    if (c >= '0' && c <= '9')
      value = value * 16 + static_cast<unsigned>(c - '0');
    else if (c >= 'A' && c <= 'F')
      value = value * 16 + static_cast<unsigned>(c - 'A') + 10;
    else if (c >= 'a' && c <= 'f')
      value = value * 16 + static_cast<unsigned>(c - 'a') + 10;
    else
      return std::nullopt;
  }
  return static_cast<unsigned char>(value);
}

/// Spells what a vocabulary does not know by its byte tokens.
class ByteFallback {
 public:
  /// Spells nothing.
  ByteFallback() = default;

  /// By those of the 256 that the vocabulary has.
  explicit ByteFallback(const Vocabulary& vocabulary) {
    for (unsigned byte = 0; byte < 256; ++byte)
      ids_.push_back(vocabulary.id(byte_token(static_cast<unsigned char>(byte))));
  }

  /// Appends the tokens of the bytes, or nothing, and says false, where one is missing. `range_of(i)`: what the token
  /// of byte i stands for.
  template <class RangeOf>
  bool append(std::string_view bytes, std::vector<PieceToken>& tokens, const RangeOf& range_of) const {
    if (ids_.empty()) return false;
    const auto id_of = [this](char byte) { return ids_[static_cast<unsigned char>(byte)]; };
    if (!std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return id_of(byte).has_value(); })) return false;
    for (std::size_t i = 0; i < bytes.size(); ++i) tokens.push_back({*id_of(bytes[i]), range_of(i)});
    return true;
  }

 private:
  std::vector<std::optional<Index>> ids_;  // by byte
};

}  // namespace greentrainer
