#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/core/utf8.hpp"
#include "greentrainer/tokenizers/component.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"

namespace greentrainer {

/// A token that is recognised in the text itself, before any splitting.
struct AddedToken {
  std::string content;
  Json id;                  ///< as the file gives it; null: the one it has in the vocabulary
  bool special = false;     ///< left out by decode where asked
  bool lstrip = false;      ///< takes the spaces before it
  bool rstrip = false;      ///< takes the spaces after it
  bool normalized = false;  ///< looked for after normalisation
};

/// Added tokens beyond this are refused: every position of a text is compared with the longest of them.
inline constexpr std::size_t max_added_token_bytes = 1024;

/// From {"content": ..., "special": ..., ...}. Throws LoadError.
inline AddedToken parse_added_token(const Component& component) {
  component.allow({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special", "__type"});
  AddedToken token;
  token.content = component.text_of("content");
  if (token.content.empty() || token.content.size() > max_added_token_bytes) {
    component.fail(text("expected a token of 1 to ", max_added_token_bytes, " bytes, got ", token.content.size()));
  }
  if (component.flag_or("single_word", false))
    component.fail(text("token \"", token.content, "\": expected single_word false, got true, which is not supported"));
  if (const Json* id = component.find("id")) token.id = *id;
  token.special = component.flag_or("special", false);
  token.lstrip = component.flag_or("lstrip", false);
  token.rstrip = component.flag_or("rstrip", false);
  token.normalized = component.flag_or("normalized", !token.special);
  return token;
}

/// Finds added tokens in a text: at each place the longest.
class AddedTokenFinder {
 public:
  /// A stretch of text, or an added token.
  struct Part {
    std::string_view text;
    std::optional<Index> id;
  };

  /// `content` as it stands in the texts that are searched. Throws LoadError naming `source` if it is too long.
  void add(std::string_view content, Index id, bool lstrip, bool rstrip, std::string_view source) {
    if (content.size() > max_added_token_bytes) {
      throw LoadError("load_tokenizer", text(source, ", added token with id ", id),
                      text("expected at most ", max_added_token_bytes, " bytes, got ", content.size()));
    }
    std::uint32_t node = 0;
    for (char c : content) node = children_.try_emplace(key_of(node, c), ++nodes_).first->second;
    tokens_[node] = {id, lstrip, rstrip};
    if (!content.empty()) first_[static_cast<unsigned char>(content.front())] = true;
  }

  /// The text from left to right; no empty stretches. Throws DataError for more steps than the budget has.
  std::vector<Part> split(std::string_view text, TextBudget& budget) const {
    std::vector<Part> parts;
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      if (!first_[static_cast<unsigned char>(text[i])]) {
        ++i;
        continue;
      }
      const auto [token, length, compared] = longest_at(text, i);
      budget.spend(compared * steps_per_byte_compared, "added_tokens");
      if (token == nullptr) {
        ++i;
        continue;
      }
      std::size_t begin = i;
      std::size_t end = i + length;
      if (token->lstrip) {
        while (begin > done && is_space_before(text, begin)) begin -= space_before(text, begin);
      }
      if (token->rstrip) {
        while (end < text.size() && is_unicode_space(utf8_char_at(text, end).code) && utf8_char_at(text, end).valid)
          end += utf8_char_at(text, end).length;
      }
      if (begin > done) parts.push_back({text.substr(done, begin - done), std::nullopt});
      parts.push_back({text.substr(begin, end - begin), token->id});
      i = done = end;
    }
    if (done < text.size()) parts.push_back({text.substr(done), std::nullopt});
    return parts;
  }

 private:
  static constexpr std::uint64_t steps_per_byte_compared = 32;

  struct Token {
    Index id = 0;
    bool lstrip = false;
    bool rstrip = false;
  };

  static std::uint64_t key_of(std::uint32_t node, char c) {
    return (std::uint64_t{node} << 8) | static_cast<unsigned char>(c);
  }

  struct Longest {
    const Token* token = nullptr;
    std::size_t length = 0;
    std::size_t compared = 0;  // bytes
  };

  Longest longest_at(std::string_view text, std::size_t position) const {
    Longest best;
    std::uint32_t node = 0;
    for (std::size_t i = position; i < text.size(); ++i) {
      ++best.compared;
      const auto child = children_.find(key_of(node, text[i]));
      if (child == children_.end()) break;
      node = child->second;
      if (const auto token = tokens_.find(node); token != tokens_.end())
        best = {&token->second, i + 1 - position, best.compared};
    }
    return best;
  }

  static std::size_t space_before(std::string_view text, std::size_t end) {
    std::size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) --begin;
    return end - begin;
  }
  static bool is_space_before(std::string_view text, std::size_t end) {
    return is_unicode_space(utf8_char_at(text, end - space_before(text, end)).code);
  }

  std::unordered_map<std::uint64_t, std::uint32_t> children_;  // of a trie; node 0 is its root
  std::unordered_map<std::uint32_t, Token> tokens_;
  std::uint32_t nodes_ = 0;
  std::array<bool, 256> first_{};
};

}  // namespace greentrainer
