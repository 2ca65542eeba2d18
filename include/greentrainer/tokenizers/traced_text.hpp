#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/utf8.hpp"

namespace greentrainer {

/// Bytes [begin, end) of a text.
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;

  bool operator==(const ByteRange&) const = default;
};

/// A text on its way through a tokenizer. One that is traced knows which character of the input each of its bytes comes
/// from, by the rules of Hugging Face's `tokenizers`: what is put in front of a text comes from its first character,
/// what takes the place of a match from the match's last. Others cost no more than a std::string.
class TracedText {
 public:
  /// Not traced.
  TracedText(std::string text) : text_(std::move(text)) {}

  /// Text that stands at byte `offset` of the input, unchanged so far.
  static TracedText at(std::string_view text, std::size_t offset) {
    TracedText result{std::string(text)};
    result.traced_ = true;
    result.origins_.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = utf8_char_at(text, i).length;
      result.origins_.insert(result.origins_.end(), length, {offset + i, offset + i + length});
      i += length;
    }
    return result;
  }

  const std::string& text() const { return text_; }
  std::size_t size() const { return text_.size(); }
  bool is_traced() const { return traced_; }

  /// What the bytes [begin, end) come from, which may not be none. Requires a traced text.
  ByteRange origin(std::size_t begin, std::size_t end) const { return {origins_[begin].begin, origins_[end - 1].end}; }

  /// A text without a byte, traced if this one is.
  TracedText empty_copy() const {
    TracedText result{std::string()};
    result.traced_ = traced_;
    return result;
  }

  TracedText substr(std::size_t begin, std::size_t end) const {
    TracedText result = empty_copy();
    result.append(*this, begin, end);
    return result;
  }

  void reserve(std::size_t bytes) {
    text_.reserve(bytes);
    if (traced_) origins_.reserve(bytes);
  }

  /// Appends the bytes [begin, end) of another text.
  void append(const TracedText& from, std::size_t begin, std::size_t end) {
    text_.append(from.text_, begin, end - begin);
    if (traced_) append_origins(from, begin, end);
  }

  /// Appends new bytes, which come from where byte `place` of the other text does.
  void append_new(std::string_view bytes, const TracedText& from, std::size_t place) {
    text_ += bytes;
    if (traced_) origins_.insert(origins_.end(), bytes.size(), from.origins_[place]);
  }

  /// Appends what takes the place of the bytes [begin, end) of another text, character by character; those beyond their
  /// number come from the last of them.
  void append_characters(std::string_view characters, const TracedText& from, std::size_t begin, std::size_t end) {
    if (!traced_) {
      text_ += characters;
      return;
    }
    for (std::size_t i = 0; i < characters.size();) {
      const std::size_t length = utf8_char_at(characters, i).length;
      append_new(characters.substr(i, length), from, begin);
      const std::size_t next = begin + utf8_char_at(from.text_, begin).length;
      if (next < end) begin = next;
      i += length;
    }
  }

  /// What takes the place of characters of a text, in their order, as in `transform` of Hugging Face's `tokenizers`.
  struct Change {
    char32_t character = 0;
    int change = 0;  ///< 1: put in behind what came before; 0: for one character; -n: for one, and n more go
  };

  /// The text with these in the place of all its characters.
  TracedText changed(const std::vector<Change>& changes) const {
    TracedText result = empty_copy();
    result.reserve(size());
    std::size_t place = 0;  // of the characters that have been replaced
    std::string bytes;
    for (const auto& [character, change] : changes) {
      bytes.clear();
      append_utf8(bytes, character);
      if (traced_)
        result.append_new(bytes, *this, change > 0 && place > 0 ? place - 1 : std::min(place, size() - 1));
      else
        result.text_ += bytes;
      for (int gone = change; gone <= 0 && place < size(); ++gone) place += utf8_char_at(text_, place).length;
    }
    return result;
  }

  /// Puts new bytes in front of a text that is not empty.
  void prepend(std::string_view bytes) {
    text_.insert(0, bytes);
    if (traced_) origins_.insert(origins_.begin(), bytes.size(), ByteRange(origins_.front()));
  }

 private:
  void append_origins(const TracedText& from, std::size_t begin, std::size_t end) {
    const auto first = from.origins_.begin();
    origins_.insert(origins_.end(), first + static_cast<std::ptrdiff_t>(begin),
                    first + static_cast<std::ptrdiff_t>(end));
  }

  std::string text_;
  bool traced_ = false;
  std::vector<ByteRange> origins_;  // of each byte, where it is traced
};

}  // namespace greentrainer
