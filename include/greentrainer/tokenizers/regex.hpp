#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <pcre2.h>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// A Unicode regular expression over UTF-8, compiled once and usable from many threads. Patterns are written for Oniguruma, as in
/// tokenizer.json; the few constructs that PCRE2 reads otherwise are translated or refused.
class Regex {
 public:
  /// `source` says where the pattern is from. Throws LoadError naming source and pattern.
  Regex(std::string_view pattern, std::string_view source) : pattern_(pattern), source_(source) {
    if (pattern.size() > max_pattern) fail("expected a pattern of at most 10000 bytes, got a longer one");
    const auto translated = translate();
    int error = 0;
    PCRE2_SIZE position = 0;
    // Ruby's ^ and $, which Oniguruma follows, always mean lines.
    code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error,
                                &position, nullptr));
    if (!code_) fail(text("expected a regular expression, got \"", message_of(error), "\" for ", pattern_));
    pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching is merely slower
  }

  /// Calls f(begin, end) for every match from left to right; empty matches are passed over. `subject` must be UTF-8. Throws DataError if
  /// the pattern takes too long on it.
  template <class F>
  void for_each_match(std::string_view subject, F&& f) const {
    const std::unique_ptr<pcre2_match_data_8, Free> match(pcre2_match_data_create_from_pattern_8(code_.get(), nullptr));
    if (!match) throw std::bad_alloc();
    const auto* bytes = reinterpret_cast<PCRE2_SPTR8>(subject.data());
    for (std::size_t from = 0; from < subject.size();) {
      // Each call would check all of the subject for UTF-8 again: quadratic.
      int count = pcre2_match_8(code_.get(), bytes, subject.size(), from, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
      if (count == PCRE2_ERROR_JIT_STACKLIMIT) {
        count = pcre2_match_8(code_.get(), bytes, subject.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match.get(), nullptr);
      }
      if (count == PCRE2_ERROR_NOMATCH) return;
      if (count < 0)
        throw DataError("regex",
                        text(source_, ": expected to match ", pattern_, ", got \"", message_of(count), "\" on a text of ", subject.size(), " bytes"));
      const auto* offsets = pcre2_get_ovector_pointer_8(match.get());
      const std::size_t begin = offsets[0];
      const std::size_t end = offsets[1];
      if (end > begin) f(begin, end);
      from = end > begin ? end : end + 1;
      while (from < subject.size() && (static_cast<unsigned char>(subject[from]) & 0xC0U) == 0x80U) ++from;  // never into a character
    }
  }

 private:
  static constexpr std::size_t max_pattern = 10000;
  // Oniguruma's \s is White_Space; PCRE2's has U+180E besides.
  static constexpr std::string_view spaces = R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

  struct Free {
    void operator()(pcre2_code_8* code) const { pcre2_code_free_8(code); }
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free_8(data); }
  };

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("regex", text(source_, ": ", what)); }

  static std::string message_of(int error) {
    unsigned char buffer[256] = {};
    pcre2_get_error_message_8(error, buffer, sizeof buffer);
    return reinterpret_cast<const char*>(buffer);
  }

  [[noreturn]] void refuse(std::string_view construct) const {
    fail(text("expected a regular expression without ", construct, ", which PCRE2 reads differently, got ", pattern_));
  }

  std::string translate() const {
    std::string result;
    for (std::size_t i = 0; i < pattern_.size(); ++i) {
      const char c = pattern_[i];
      if (c == '\\' && i + 1 < pattern_.size()) {
        append_escape(pattern_[++i], false, result);
      } else if (c == '[') {
        append_class(i, result);
      } else {
        if (c == '(' && next_is(i, '?')) check_flags(i + 2);
        result.push_back(c);
      }
    }
    return result;
  }

  bool next_is(std::size_t i, char c) const { return i + 1 < pattern_.size() && pattern_[i + 1] == c; }

  /// A backslash and what follows it.
  void append_escape(char c, bool in_class, std::string& result) const {
    if (c == 's') {
      result.append(in_class ? "" : "[").append(spaces).append(in_class ? "" : "]");
    } else if (c == 'S' && !in_class) {
      result.append("[^").append(spaces).append("]");
    } else if (c == 'S') {
      refuse("\\S within brackets");
    } else if (c == 'h' || c == 'H' || c == 'w' || c == 'W' || c == 'b' || c == 'B') {
      refuse(std::string("\\") + c);
    } else {
      result.append({'\\', c});
    }
  }

  /// A bracket expression; `i` goes from its first "[" to its last "]". Brackets within brackets, as in BLOOM's pattern, are their union to
  /// Oniguruma: what they hold joins the rest.
  void append_class(std::size_t& i, std::string& result) const {
    std::size_t depth = 0;
    for (; i < pattern_.size(); ++i) {
      const char c = pattern_[i];
      if (c == '\\' && i + 1 < pattern_.size()) {
        append_escape(pattern_[++i], true, result);
      } else if (c == '[' && next_is(i, ':') && depth > 0) {  // a named class such as [:alpha:]: up to its own bracket
        const auto close = pattern_.find(":]", i + 2);
        if (close == std::string::npos) refuse("[: within brackets");
        result.append(pattern_, i, close + 2 - i);
        i = close + 1;
      } else if (c == '[') {
        if (depth > 0 && next_is(i, '^')) refuse("negated brackets within brackets");
        if (depth == 0) result.push_back('[');
        if (depth == 0 && next_is(i, '^')) result.push_back(pattern_[++i]);
        if (next_is(i, ']')) refuse("] as the first character in brackets");
        if (next_is(i, '-')) {  // not a range
          result.append("\\-");
          ++i;
        }
        ++depth;
      } else if (c == ']') {
        if (--depth == 0) {
          result.push_back(']');
          return;
        }
        if (next_is(i, '-')) refuse("a range that begins with brackets");
      } else if (c == '-' && (next_is(i, ']') || next_is(i, '['))) {
        if (next_is(i, '[')) refuse("a range that ends with brackets");
        result.append("\\-");
      } else {
        if (c == '&' && next_is(i, '&')) refuse("&& within brackets");
        result.push_back(c);
      }
    }
    fail(text("expected a regular expression whose brackets are closed, got ", pattern_));
  }

  /// Inline flags other than i have other meanings in Ruby.
  void check_flags(std::size_t i) const {
    for (; i < pattern_.size() && ((pattern_[i] >= 'a' && pattern_[i] <= 'z') || pattern_[i] == '-'); ++i) {
      if (pattern_[i] != 'i' && pattern_[i] != '-') refuse("inline flags other than i");
    }
  }

  std::string pattern_;
  std::string source_;
  std::unique_ptr<pcre2_code_8, Free> code_;
};

}  // namespace greentrainer
