#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/traced_text.hpp"

namespace greentrainer {

/// GPT-2's names for bytes: printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up in order, so that
/// a vocabulary is readable text without spaces. Source: bytes_to_unicode in OpenAI's encoder.py.
class ByteLevelAlphabet {
 public:
  static const ByteLevelAlphabet& instance() {
    static const ByteLevelAlphabet alphabet;
    return alphabet;
  }

  std::string_view name(char byte) const { return names_[static_cast<unsigned char>(byte)]; }

  /// Every byte by its name: twice as long at most.
  std::string encode(std::string_view bytes) const {
    std::string result;
    result.reserve(bytes.size() + bytes.size() / 4);
    for (char byte : bytes) result += name(byte);
    return result;
  }

  /// The same for a text that may be traced: all bytes of a character come from it.
  TracedText named(const TracedText& text) const {
    if (!text.is_traced()) return TracedText(encode(text.text()));
    TracedText result = text.empty_copy();
    for (std::size_t i = 0; i < text.size(); ++i) result.append_new(name(text.text()[i]), text, i);
    return result;
  }

  /// The bytes that `names` stands for, or nothing if one of its characters is no name.
  std::optional<std::string> decode(std::string_view names) const {
    std::string result;
    for (std::size_t i = 0; i < names.size();) {
      const auto c = utf8_char_at(names, i);
      if (!c.valid || c.code >= bytes_.size() || bytes_[c.code] < 0) return std::nullopt;
      result.push_back(static_cast<char>(static_cast<unsigned char>(bytes_[c.code])));
      i += c.length;
    }
    return result;
  }

 private:
  ByteLevelAlphabet() {
    bytes_.fill(-1);
    char32_t other = 0x100;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const char32_t code = printable ? static_cast<char32_t>(byte) : other++;
      append_utf8(names_[byte], code);
      bytes_[code] = static_cast<int>(byte);
    }
  }

  std::array<std::string, 256> names_;
  std::array<int, 0x100 + 68> bytes_;
};

}  // namespace greentrainer
