#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/utf8.hpp"

namespace greentrainer {

/// SentencePiece's compiled normalisation rules ("precompiled_charsmap"): texts, and what stands for them. The keys are
/// a double-array trie in the form of darts-clone: an array of 32-bit units, of which a state is a place. A unit has a
/// label (bits 0 to 7; bit 31 is set in values), bit 8: a key ends here, and an offset (bits 10 to 30, times 256 where
/// bit 9 is set); state ^ offset is the block of its children, where byte c's is at block ^ c and the value, a place
/// among the replacements, at block ^ 0. Source: darts-clone's DoubleArrayUnit.
class PrecompiledCharsmap {
 public:
  /// `bytes`: the size of the trie in bytes (32 bits, little-endian), the trie, the replacements, each with a zero byte
  /// behind. Throws LoadError naming `source`: sizes that do not fit, replacements that are not UTF-8, or any state
  /// that is reached from the root whose children or value lie outside. Lookups need no checks after that.
  PrecompiledCharsmap(std::string_view bytes, const std::string& source) {
    const auto fail = [&](const std::string& what) {
      throw LoadError("load_tokenizer", source, text(what, "; is the file damaged?"));
    };
    const std::size_t trie_bytes = bytes.size() < 4 ? 0 : little_endian_at(bytes, 0);
    if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4) {
      fail(text("expected 4 bytes of size, a trie of that size in units of 4 bytes, and replacements, got ",
                bytes.size(), " bytes and the size ", trie_bytes));
    }
    units_.reserve(trie_bytes / 4);
    for (std::size_t at = 4; at < 4 + trie_bytes; at += 4) units_.push_back(little_endian_at(bytes, at));
    replacements_ = bytes.substr(4 + trie_bytes);
    if (const auto bad = find_invalid_utf8(replacements_); bad != std::string_view::npos) {
      fail(text("expected replacements in UTF-8, got something else at byte ", bad, " of them"));
    }

    // Every state that a text can lead to, once each: damaged tries have cycles.
    std::vector<bool> seen(units_.size());
    std::vector<std::uint32_t> states(1, 0);
    seen[0] = true;
    while (!states.empty()) {
      const std::uint32_t state = states.back();
      states.pop_back();
      const std::uint32_t block = block_of(state);
      if ((block | 0xFFU) >= units_.size())
        fail(text("trie unit ", state, ": expected children below ", units_.size(), ", got ", block));
      if (ends_key(state)) check_value(block, state, fail);
      for (std::uint32_t c = 1; c < 256; ++c) {
        const std::uint32_t child = block ^ c;
        if (label(child) != c || seen[child]) continue;
        seen[child] = true;
        states.push_back(child);
      }
    }
  }

  /// What stands for the shortest key that `text` begins with, or nothing if it begins with none.
  std::optional<std::string_view> find(std::string_view text) const {
    std::uint32_t block = block_of(0);
    for (char byte : text) {
      const auto c = static_cast<unsigned char>(byte);
      const std::uint32_t state = block ^ c;
      if (c == 0 || label(state) != c) return std::nullopt;  // no key holds a zero byte
      block = block_of(state);
      if (ends_key(state)) return replacement_at(value(block));
    }
    return std::nullopt;
  }

 private:
  // A file must not turn every character of a text into megabytes. Unicode's own longest is 33 bytes (U+FDFA's).
  static constexpr std::size_t longest_replacement = 1024;

  static std::uint32_t little_endian_at(std::string_view bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    return value;
  }

  std::uint32_t label(std::uint32_t state) const { return units_[state] & 0x800000FFU; }
  bool ends_key(std::uint32_t state) const { return (units_[state] & 0x100U) != 0; }
  std::uint32_t block_of(std::uint32_t state) const {
    const std::uint32_t unit = units_[state];
    return state ^ ((unit >> 10) << ((unit & 0x200U) != 0 ? 8 : 0));
  }
  std::uint32_t value(std::uint32_t block) const { return units_[block] & 0x7FFFFFFFU; }

  std::string_view replacement_at(std::size_t at) const {
    return std::string_view(replacements_).substr(at, replacements_.find('\0', at) - at);
  }

  template <class Fail>
  void check_value(std::uint32_t block, std::uint32_t state, const Fail& fail) const {
    const std::size_t at = value(block);
    if (at >= replacements_.size())
      fail(text("trie unit ", state, ": expected a replacement below ", replacements_.size(), ", got ", at));
    if ((static_cast<unsigned char>(replacements_[at]) & 0xC0U) == 0x80U)
      fail(text("trie unit ", state, ": expected a replacement that begins with a character, got one within it at ",
                at));
    if (std::string_view(replacements_).substr(at, longest_replacement + 1).find('\0') == std::string_view::npos) {
      fail(text("trie unit ", state, ": expected a zero byte at most ", longest_replacement,
                " bytes behind the replacement at ", at, ", got none"));
    }
  }

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace greentrainer
