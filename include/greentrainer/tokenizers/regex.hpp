#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <pcre2.h>

#include "greentrainer/core/error.hpp"
#include "greentrainer/tokenizers/regex_shape.hpp"
#include "greentrainer/tokenizers/text_budget.hpp"

namespace greentrainer {

/// A Unicode regular expression over UTF-8, compiled once and usable from many threads. Patterns are written for
/// Oniguruma, as in tokenizer.json; the few constructs that PCRE2 reads otherwise are translated or refused.
class Regex {
 public:
  /// Patterns of our own may hold `\X`.
  enum class Origin { file, own };

  /// `source` says where the pattern is from. Throws LoadError naming source and pattern.
  Regex(std::string_view pattern, std::string_view source, Origin origin = Origin::file)
      : pattern_(pattern), source_(source), origin_(origin) {
    if (pattern.size() > max_pattern) fail("expected a pattern of at most 10000 bytes, got a longer one");
    const auto translated = translate();
    // Ruby's ^ and $, which Oniguruma follows, always mean lines. \C would end a match within a character: what is cut
    // there is no UTF-8.
    constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    quick_ = compile(translated, options);
    counted_ = compile(translated, options | PCRE2_AUTO_CALLOUT | PCRE2_ANCHORED | PCRE2_NO_START_OPTIMIZE);
    shape_ = RegexShape(translated);
    // Windows cost calls: where no part of the pattern goes on and on, the whole text is one.
    if (shape_.runs == 0) window_ = std::numeric_limits<std::size_t>::max();
    steps_of_place_ = most_steps_at_a_place();
    is_quick_ = shape_.simple && steps_of_place_ <= most_steps_of_place;
  }

  /// Calls f(begin, end) for every match from left to right; empty matches are passed over. `subject` must be UTF-8.
  /// Throws DataError if the pattern takes more steps than the budget has, or too much memory.
  ///
  /// PCRE2 counts some steps and no others: it goes over "a++" a thousand times without counting one. So places of a
  /// text are tried twice. First, within a window of few bytes and a limit of few counted steps: that takes less than
  /// steps_of_place_ however the pattern is made. A place that hits the window's end, or the limit, is tried again,
  /// with a call out of PCRE2 before every item of the pattern, and the way between two of these calls is counted.
  template <class F>
  void for_each_match(std::string_view subject, TextBudget& budget, F&& f) const {
    Search search(*this, subject, budget);
    std::size_t counted_until = is_quick_ ? 0 : subject.size();  // places before are counted
    for (std::size_t from = 0; from < subject.size();) {
      const bool quick = from >= counted_until;
      const std::size_t end = quick ? search.window_end(from, window_) : subject.size();
      const int result = quick ? search.quick(from, end) : search.counted(from);
      if (result >= 0) {
        const auto [begin, behind] = search.match();
        if (behind > begin) f(begin, behind);
        from = behind > from ? behind : search.next_character(from);
      } else if (result == PCRE2_ERROR_NOMATCH) {
        from = quick ? end : search.next_character(from);
      } else if (quick && result == PCRE2_ERROR_PARTIAL) {
        from = std::max(from, search.match().first);
        counted_until = from + 1;
      } else if (quick && result == PCRE2_ERROR_MATCHLIMIT) {  // at some place within
        counted_until = end;
      } else {
        fail_on(subject, result);
      }
    }
  }

  /// With a budget of its own.
  template <class F>
  void for_each_match(std::string_view subject, F&& f) const {
    TextBudget budget(subject.size(), source_);
    for_each_match(subject, budget, std::forward<F>(f));
  }

 private:
  static constexpr std::size_t max_pattern = 10000;
  static constexpr std::uint32_t max_heap_kib = 64 * 1024;  // PCRE2's own is 20 GB
  static constexpr std::uint32_t max_depth = 250000;
  static constexpr std::uint32_t few_steps = 4;  // as PCRE2 counts them
  static constexpr std::uint64_t most_steps_of_place = 4096;
  static constexpr std::uint64_t steps_of_call = 64;
  static constexpr std::uint64_t steps_of_item = 16;

  struct Free {
    void operator()(pcre2_code_8* code) const { pcre2_code_free_8(code); }
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free_8(data); }
    void operator()(pcre2_match_context_8* context) const { pcre2_match_context_free_8(context); }
  };
  using Code = std::unique_ptr<pcre2_code_8, Free>;

  Code compile(const std::string& translated, std::uint32_t options) const {
    int error = 0;
    PCRE2_SIZE position = 0;
    Code code(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(), options, &error,
                              &position, nullptr));
    if (!code) fail(text("expected a regular expression, got \"", message_of(error), "\" for ", shown_pattern()));
    // Where it cannot, matching is merely slower.
    pcre2_jit_compile_8(code.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return code;
  }

  /// More than a quick try takes at one place: before each counted step, and behind the last, every item of the pattern
  /// once, those that repeat over the whole window.
  std::uint64_t most_steps_at_a_place() const {
    const std::uint64_t window = shape_.runs == 0 ? 0 : window_;
    return (few_steps + 1) * (shape_.items + shape_.runs * window) * shape_.steps_of_character;
  }

  /// The search of one text.
  class Search {
   public:
    Search(const Regex& regex, std::string_view subject, TextBudget& budget)
        : regex_(regex),
          subject_(subject),
          budget_(budget),
          match_(pcre2_match_data_create_8(1, nullptr)),
          limits_(pcre2_match_context_create_8(nullptr)) {
      if (!match_ || !limits_) throw std::bad_alloc();
      pcre2_set_heap_limit_8(limits_.get(), max_heap_kib);
      pcre2_set_depth_limit_8(limits_.get(), max_depth);
      pcre2_set_match_limit_8(limits_.get(), few_steps);
    }

    /// Up to where a quick try at `from` looks: not within a character.
    std::size_t window_end(std::size_t from, std::size_t window) const {
      if (subject_.size() - from <= window) return subject_.size();
      std::size_t end = from + window;
      while (end < subject_.size() && is_within_character(end)) ++end;
      return end;
    }

    std::size_t next_character(std::size_t i) const {
      do ++i;
      while (i < subject_.size() && is_within_character(i));
      return i;
    }

    /// The first match that begins at `from` or behind it, by few steps within a window; PCRE2_ERROR_PARTIAL where the
    /// window's end is reached before it is known.
    int quick(std::size_t from, std::size_t end) {
      const std::uint32_t partial = end < subject_.size() ? PCRE2_PARTIAL_HARD : 0U;
      const int result = run(regex_.quick_.get(), from, end, partial);
      const std::size_t last = result >= 0 || result == PCRE2_ERROR_PARTIAL ? std::min(match().first, end) : end;
      const std::uint64_t places = last > from ? last - from + 1 : 1;
      spend(steps_of_call + places * regex_.steps_of_place_);
      return result;
    }

    /// The match that begins at `from`.
    int counted(std::size_t from) {
      spend(steps_of_call);
      last_ = from;
      spent_all_ = false;
      pcre2_set_callout_8(limits_.get(), &count_item, this);
      pcre2_set_match_limit_8(limits_.get(), std::numeric_limits<std::uint32_t>::max());
      const int result = run(regex_.counted_.get(), from, subject_.size(), 0);
      pcre2_set_match_limit_8(limits_.get(), few_steps);
      pcre2_set_callout_8(limits_.get(), nullptr, nullptr);
      if (spent_all_) spend(std::numeric_limits<std::uint64_t>::max());
      return result;
    }

    std::pair<std::size_t, std::size_t> match() const {
      const auto* offsets = pcre2_get_ovector_pointer_8(match_.get());
      return {offsets[0], offsets[1]};
    }

   private:
    bool is_within_character(std::size_t i) const { return (static_cast<unsigned char>(subject_[i]) & 0xC0U) == 0x80U; }

    int run(const pcre2_code_8* code, std::size_t from, std::size_t end, std::uint32_t partial) {
      const auto* bytes = reinterpret_cast<PCRE2_SPTR8>(subject_.data());
      // Each call would check all of the subject for UTF-8 again: quadratic.
      const std::uint32_t options = PCRE2_NO_UTF_CHECK | partial;
      const int result = pcre2_match_8(code, bytes, end, from, options, match_.get(), limits_.get());
      if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
      return pcre2_match_8(code, bytes, end, from, options | PCRE2_NO_JIT, match_.get(), limits_.get());
    }

    void spend(std::uint64_t steps) {
      if (budget_.try_spend(steps)) return;
      throw DataError("regex", regex_.source_,
                      text("expected to match ", regex_.shown_pattern(), " in at most ", budget_.spent(),
                           " steps, got more on a text of ", subject_.size(), " bytes"));
    }

    /// Called before every item of the pattern: what came before went from the last place to this one.
    static int count_item(pcre2_callout_block_8* block, void* search) {
      auto& self = *static_cast<Search*>(search);
      const std::size_t at = block->current_position;
      const std::uint64_t way = at > self.last_ ? at - self.last_ : self.last_ - at;
      self.last_ = at;
      const auto& shape = self.regex_.shape_;
      if (self.budget_.try_spend(steps_of_item + (way + shape.longest_count) * shape.steps_of_character)) return 0;
      self.spent_all_ = true;
      return PCRE2_ERROR_CALLOUT;
    }

    const Regex& regex_;
    std::string_view subject_;
    TextBudget& budget_;
    std::unique_ptr<pcre2_match_data_8, Free> match_;
    std::unique_ptr<pcre2_match_context_8, Free> limits_;
    std::size_t last_ = 0;
    bool spent_all_ = false;
  };

  [[noreturn]] void fail_on(std::string_view subject, int error) const {
    throw DataError("regex", source_,
                    text("expected to match ", shown_pattern(), ", got \"", message_of(error), "\" on a text of ",
                         subject.size(), " bytes"));
  }

  // Oniguruma's \s is White_Space; PCRE2's has U+180E besides.
  static constexpr std::string_view spaces =
      R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

  /// For errors: patterns may be long.
  std::string shown_pattern() const {
    constexpr std::size_t longest = 100;
    if (pattern_.size() <= longest) return pattern_;
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(pattern_[end]) & 0xC0U) == 0x80U) --end;  // never within a character
    return pattern_.substr(0, end) + "...";
  }

  [[noreturn]] void fail(const std::string& what) const { throw LoadError("regex", source_, what); }

  static std::string message_of(int error) {
    unsigned char buffer[256] = {};
    pcre2_get_error_message_8(error, buffer, sizeof buffer);
    return reinterpret_cast<const char*>(buffer);
  }

  [[noreturn]] void refuse(std::string_view construct) const {
    fail(text("expected a regular expression without ", construct, ", which is not supported, got ", shown_pattern()));
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
        if (c == '(' && next_is(i, '*')) refuse("verbs");
        if (c == '(' && next_is(i, '?')) check_group(i + 2);
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
    } else if ((c >= '1' && c <= '9') || c == 'k' || c == 'g') {
      refuse("back-references");  // what they compare is not counted
    } else if (c == 'X' && origin_ == Origin::file) {
      refuse("\\X");  // goes back over all flags before, uncounted
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

  /// What follows "(?". Inline flags other than i have other meanings in Ruby.
  void check_group(std::size_t i) const {
    const auto rest = std::string_view(pattern_).substr(i);
    const char c = rest.empty() ? '\0' : rest.front();
    const bool calls = c == 'R' || c == '&' || c == '+' || c == 'P' || (c >= '0' && c <= '9') ||
                       (c == '-' && rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9');
    if (calls) refuse("calls of groups");
    if (c == '(' || c == 'C' || c == '|') refuse(std::string("(?") + c);
    for (; i < pattern_.size() && ((pattern_[i] >= 'a' && pattern_[i] <= 'z') || pattern_[i] == '-'); ++i) {
      if (pattern_[i] != 'i' && pattern_[i] != '-') refuse("inline flags other than i");
    }
  }

  std::string pattern_;
  std::string source_;
  Origin origin_;
  Code quick_;
  Code counted_;
  RegexShape shape_;
  std::size_t window_ = 48;
  std::uint64_t steps_of_place_ = 0;
  bool is_quick_ = false;
};

}  // namespace greentrainer
