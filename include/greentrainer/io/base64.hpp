#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace greentrainer {

/// The bytes of a base64 text (RFC 4648: padded, no line breaks), or nothing where it is none.
inline std::optional<std::string> decode_base64(std::string_view text) {
  const auto value_of = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::size_t digits = text.size() - padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int value = value_of(text[i]);
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    // Of four digits, the second to the fourth each complete a byte.
    const unsigned left = 6 - 2 * static_cast<unsigned>(i % 4);  // bits of this digit that belong to the next byte
    if (i % 4 != 0) bytes.push_back(static_cast<char>(static_cast<unsigned char>(bits >> left)));
  }
  // What the last digit has beyond its byte must be zero, so that every byte string has one text.
  if ((padding == 1 && (bits & 3U) != 0) || (padding == 2 && (bits & 15U) != 0)) return std::nullopt;
  return bytes;
}

}  // namespace greentrainer
