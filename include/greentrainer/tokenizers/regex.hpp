#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <pcre2.h>

#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// A Unicode regular expression over UTF-8, compiled once and usable from many threads. Patterns are written for
/// Oniguruma, as in tokenizer.json; the few constructs that PCRE2 reads otherwise are translated or refused.
class Regex {
 public:
  /// `source` says where the pattern is from. Throws LoadError naming source and pattern.
  Regex(std::string_view pattern, std::string_view source) : pattern_(pattern), source_(source) {
    if (pattern.size() > max_pattern) fail("expected a pattern of at most 10000 bytes, got a longer one");
    const auto translated = translate();
    int error = 0;
    PCRE2_SIZE position = 0;
    // Ruby's ^ and $, which Oniguruma follows, always mean lines. \C would end a match within a character: what is cut
    // there is no UTF-8.
    constexpr std::uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
    code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(), options, &error,
                                &position, nullptr));
    if (!code_) fail(text("expected a regular expression, got \"", message_of(error), "\" for ", shown_pattern()));
    pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, matching is merely slower
  }

  /// Calls f(begin, end) for every match from left to right; empty matches are passed over. `subject` must be UTF-8.
  /// Throws DataError if the pattern takes too long or too much memory on it.
  template <class F>
  void for_each_match(std::string_view subject, F&& f) const {
    const std::unique_ptr<pcre2_match_data_8, Free> match(pcre2_match_data_create_from_pattern_8(code_.get(), nullptr));
    const std::unique_ptr<pcre2_match_context_8, Free> limits(pcre2_match_context_create_8(nullptr));
    if (!match || !limits) throw std::bad_alloc();
    pcre2_set_heap_limit_8(limits.get(), max_heap_kib);
    pcre2_set_depth_limit_8(limits.get(), max_depth);
    const auto* bytes = reinterpret_cast<PCRE2_SPTR8>(subject.data());
    // The first match that begins at `from` or behind it, up to `last`, and takes at most so many steps from each place
    // that is tried.
    const auto search = [&](std::size_t from, std::size_t last, std::uint32_t steps) {
      pcre2_set_offset_limit_8(limits.get(), last);
      pcre2_set_match_limit_8(limits.get(), steps);
      // Each call would check all of the subject for UTF-8 again: quadratic.
      const int count =
          pcre2_match_8(code_.get(), bytes, subject.size(), from, PCRE2_NO_UTF_CHECK, match.get(), limits.get());
      if (count != PCRE2_ERROR_JIT_STACKLIMIT) return count;
      return pcre2_match_8(code_.get(), bytes, subject.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match.get(),
                           limits.get());
    };
    const auto next_character = [&](std::size_t i) {
      do ++i;
      while (i < subject.size() && (static_cast<unsigned char>(subject[i]) & 0xC0U) == 0x80U);
      return i;
    };
    // PCRE2 limits the steps from each place, and does not say how many they were: places of few steps are free, those
    // that take more are found, tried with ever more, and what they are granted is counted. (Time would do, but refuse
    // a text today that passes tomorrow.)
    std::size_t budget = fewest_steps_of_text + steps_per_byte * subject.size();
    bool place_by_place = false;  // until the place that takes more than few steps is found
    for (std::size_t from = 0; from < subject.size();) {
      std::uint32_t steps = few_steps;
      int count = search(from, place_by_place ? from : PCRE2_UNSET, steps);
      if (count == PCRE2_ERROR_MATCHLIMIT && !place_by_place) {
        place_by_place = true;
        continue;
      }
      while (count == PCRE2_ERROR_MATCHLIMIT && steps < most_steps && steps * 4 <= budget) {
        steps *= 4;
        budget -= steps;
        count = search(from, from, steps);
      }
      if (count == PCRE2_ERROR_NOMATCH && !place_by_place) return;
      if (count == PCRE2_ERROR_NOMATCH) {
        place_by_place = steps == few_steps;
        from = next_character(from);
        continue;
      }
      if (count < 0)
        throw DataError("regex", text(source_, ": expected to match ", shown_pattern(), ", got \"", message_of(count),
                                      "\" on a text of ", subject.size(), " bytes"));
      place_by_place = false;
      const auto* offsets = pcre2_get_ovector_pointer_8(match.get());
      const std::size_t begin = offsets[0];
      const std::size_t end = offsets[1];
      if (end > begin) f(begin, end);
      from = end > begin ? end : next_character(end);
    }
  }

 private:
  static constexpr std::size_t max_pattern = 10000;
  // PCRE2's own limits are 20 GB, and ten million steps from each place of a text.
  static constexpr std::uint32_t max_heap_kib = 64 * 1024;
  static constexpr std::uint32_t max_depth = 250000;
  static constexpr std::uint32_t few_steps = 1000;
  static constexpr std::uint32_t most_steps =
      4000000;  // from one place: real patterns go over a run of characters a few times
  static constexpr std::size_t fewest_steps_of_text = 10000000;
  static constexpr std::size_t steps_per_byte = 1000;
  // Oniguruma's \s is White_Space; PCRE2's has U+180E besides.
  static constexpr std::string_view spaces =
      R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

  struct Free {
    void operator()(pcre2_code_8* code) const { pcre2_code_free_8(code); }
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free_8(data); }
    void operator()(pcre2_match_context_8* context) const { pcre2_match_context_free_8(context); }
  };

  /// For errors: patterns may be long.
  std::string shown_pattern() const {
    constexpr std::size_t longest = 100;
    if (pattern_.size() <= longest) return pattern_;
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(pattern_[end]) & 0xC0U) == 0x80U) --end;  // never within a character
    return pattern_.substr(0, end) + "...";
  }

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("regex", text(source_, ": ", what)); }

  static std::string message_of(int error) {
    unsigned char buffer[256] = {};
    pcre2_get_error_message_8(error, buffer, sizeof buffer);
    return reinterpret_cast<const char*>(buffer);
  }

  [[noreturn]] void refuse(std::string_view construct) const {
    fail(text("expected a regular expression without ", construct, ", which PCRE2 reads differently, got ",
              shown_pattern()));
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

  /// A bracket expression; `i` goes from its first "[" to its last "]". Brackets within brackets, as in BLOOM's
  /// pattern, are their union to Oniguruma: what they hold joins the rest.
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
    fail(text("expected a regular expression whose brackets are closed, got ", shown_pattern()));
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
