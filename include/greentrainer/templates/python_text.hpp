#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/unicode.hpp"

namespace greentrainer::templates {

/// Texts as Python's str has them: their units are code points, and blanks are Unicode's.
namespace python {

constexpr bool is_space(char32_t c) { return is_unicode_space(c) || (c >= 0x1C && c <= 0x1F); }

constexpr bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

inline std::size_t length(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += is_continuation(c) ? 0 : 1;
  return count;
}

/// Where the code point of that number begins, at most the text's size.
inline std::size_t byte_of(std::string_view text, std::size_t code_point) {
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    if (is_continuation(text[i])) continue;
    if (code_point-- == 0) return i;
  }
  return i;
}

/// The code points, each a text.
inline std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = utf8_char_at(text, i).length;
    result.push_back(text.substr(i, size));
    i += size;
  }
  return result;
}

/// Takes off the ends what is blank, or one of `chars`.
inline std::string_view strip(std::string_view text, std::optional<std::string_view> chars, bool left, bool right) {
  const auto goes = [&](std::string_view character) {
    return chars ? chars->find(character) != std::string_view::npos : is_space(utf8_char_at(character, 0).code);
  };
  while (left && !text.empty()) {
    const std::size_t size = utf8_char_at(text, 0).length;
    if (!goes(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && is_continuation(text[begin])) --begin;
    if (!goes(text.substr(begin))) break;
    text = text.substr(0, begin);
  }
  return text;
}

/// str.split and, from the right, str.rsplit; by blanks without a separator. `most` cuts, any number where negative.
inline std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                           std::int64_t most, bool from_right) {
  std::vector<std::string_view> parts;
  if (!separator) {
    for (text = strip(text, {}, !from_right, from_right); !text.empty();
         text = strip(text, {}, !from_right, from_right)) {
      if (most == 0) {
        parts.push_back(text);
        break;
      }
      --most;
      std::size_t end = 0, begin = text.size();
      if (from_right) {
        while (begin > 0) {
          std::size_t previous = begin - 1;
          while (previous > 0 && is_continuation(text[previous])) --previous;
          if (is_space(utf8_char_at(text, previous).code)) break;
          begin = previous;
        }
        parts.push_back(text.substr(begin));
        text = text.substr(0, begin);
      } else {
        while (end < text.size() && !is_space(utf8_char_at(text, end).code)) end += utf8_char_at(text, end).length;
        parts.push_back(text.substr(0, end));
        text.remove_prefix(end);
      }
    }
  } else {
    for (; most != 0; --most) {
      const auto at = from_right ? text.rfind(*separator) : text.find(*separator);
      if (at == std::string_view::npos) break;
      parts.push_back(from_right ? text.substr(at + separator->size()) : text.substr(0, at));
      text = from_right ? text.substr(0, at) : text.substr(at + separator->size());
    }
    parts.push_back(text);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

/// str.splitlines.
inline std::vector<std::string_view> lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> result;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    std::size_t end = i + c.length;
    const bool ends = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) || c.code == 0x85 ||
                      c.code == 0x2028 || c.code == 0x2029;
    if (ends) {
      if (c.code == '\r' && end < text.size() && text[end] == '\n') ++end;
      result.push_back(text.substr(begin, (keep_ends ? end : i) - begin));
      begin = end;
    }
    i = end;
  }
  if (begin < text.size()) result.push_back(text.substr(begin));
  return result;
}

/// str.replace; at most `most` times, any number where negative.
inline std::string replace(std::string_view text, std::string_view old, std::string_view with, std::int64_t most) {
  std::string result;
  if (old.empty()) {
    std::size_t i = 0;
    for (; most != 0 && i <= text.size(); --most) {
      result += with;
      if (i == text.size()) return result;
      const std::size_t size = utf8_char_at(text, i).length;
      result += text.substr(i, size);
      i += size;
    }
    return result.append(text.substr(std::min(i, text.size())));
  }
  for (auto at = text.find(old); most != 0 && at != std::string_view::npos; at = text.find(old), --most) {
    result.append(text.substr(0, at)).append(with);
    text.remove_prefix(at + old.size());
  }
  return result.append(text);
}

/// The first character in title case, the others in lower case.
inline std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const auto first = utf8_char_at(text, 0);
  std::string result;
  append_utf8(result, unicode::title(first.code));
  return result + unicode::lower(text.substr(first.length));
}

/// The shortest decimal that reads back as the same number, as Python writes it.
inline std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer;
  const auto scientific =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  std::string text(buffer.data(), scientific.ptr);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  if (exponent >= -4 && exponent < 16) {
    const auto fixed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    text.assign(buffer.data(), fixed.ptr);
    if (text.find('.') == std::string::npos) text += ".0";
  }
  return text;
}

inline void append_hex(std::string& out, std::uint32_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[(value >> shift) & 0xFU];
}

/// Python's repr of a str.
inline std::string quoted(std::string_view text) {
  const bool doubled = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  std::string result(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    const auto code = static_cast<std::uint32_t>(c.code);
    if (c.code == static_cast<char32_t>(quote) || c.code == '\\')
      result.append(1, '\\').append(1, text[i]);
    else if (c.code == '\n')
      result += "\\n";
    else if (c.code == '\r')
      result += "\\r";
    else if (c.code == '\t')
      result += "\\t";
    else if (unicode::is_printable(c.code))
      result += text.substr(i, c.length);
    else if (code < 0x100)
      append_hex(result += "\\x", code, 2);
    else if (code < 0x10000)
      append_hex(result += "\\u", code, 4);
    else
      append_hex(result += "\\U", code, 8);
    i += c.length;
  }
  return result += quote;
}

/// JSON's form of a text, as Python's json.dumps writes it.
inline std::string json_quoted(std::string_view text, bool ascii) {
  std::string result = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto c = utf8_char_at(text, i);
    const auto code = static_cast<std::uint32_t>(c.code);
    static constexpr std::string_view escaped = "\"\\\n\r\t\f\b", letters = "\"\\nrtfb";
    const auto at = c.length == 1 ? escaped.find(text[i]) : std::string_view::npos;
    if (at != std::string_view::npos) {
      result.append(1, '\\').append(1, letters[at]);
    } else if (code < 0x20 || (ascii && code >= 0x7F && code < 0x10000)) {
      append_hex(result += "\\u", code, 4);
    } else if (ascii && code >= 0x10000) {
      append_hex(result += "\\u", 0xD800 + ((code - 0x10000) >> 10), 4);
      append_hex(result += "\\u", 0xDC00 + ((code - 0x10000) & 0x3FFU), 4);
    } else {
      result += text.substr(i, c.length);
    }
    i += c.length;
  }
  return result += '"';
}

}  // namespace python

}  // namespace greentrainer::templates
