#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace greentrainer {

/// One code point of a UTF-8 text, or a piece that is none. `length` is then that of the longest start of a well-formed
/// sequence (at least 1 byte), which is what Unicode recommends to replace by one U+FFFD.
struct Utf8Char {
  char32_t code = 0;
  std::size_t length = 1;
  bool valid = false;
};

/// The code point at `position`. Requires position < text.size().
constexpr Utf8Char utf8_char_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0U;
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {static_cast<char32_t>(lead), 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {};
  // The second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF.
  const std::uint32_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const std::uint32_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return {};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = static_cast<char32_t>(lead & (0xFFU >> (length + 1)));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {0, i, false};
    code = (code << 6) | static_cast<char32_t>(byte(i) & 0x3FU);
  }
  return {code, length, true};
}

/// Where the first byte that is not UTF-8 stands, or npos.
constexpr std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    if (!c.valid) return i;
    i += c.length;
  }
  return std::string_view::npos;
}

/// Appends a code point. Requires a Unicode scalar value.
inline void append_utf8(std::string& text, char32_t code) {
  const auto push = [&](std::uint32_t byte) { text.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  const auto c = static_cast<std::uint32_t>(code);
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0U | (c >> 6));
    push(0x80U | (c & 0x3FU));
  } else if (c < 0x10000) {
    push(0xE0U | (c >> 12));
    push(0x80U | ((c >> 6) & 0x3FU));
    push(0x80U | (c & 0x3FU));
  } else {
    push(0xF0U | (c >> 18));
    push(0x80U | ((c >> 12) & 0x3FU));
    push(0x80U | ((c >> 6) & 0x3FU));
    push(0x80U | (c & 0x3FU));
  }
}

/// The text with U+FFFD for what is not UTF-8, as Rust's from_utf8_lossy.
inline std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    if (c.valid) {
      result.append(text.substr(i, c.length));
    } else {
      append_utf8(result, U'\uFFFD');
    }
    i += c.length;
  }
  return result;
}

/// Unicode's White_Space, which is what `\s` means to Hugging Face's tokenizers.
constexpr bool is_unicode_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace greentrainer
