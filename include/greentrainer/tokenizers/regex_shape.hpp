#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace greentrainer {

/// Bounds on what one go over a regular expression costs, read off its text without understanding it: each may be too
/// large, none too small.
struct RegexShape {
  RegexShape() = default;

  /// `pattern` is as PCRE2 reads it.
  explicit RegexShape(std::string_view pattern) {
    std::size_t in_class = 0;  // brackets that are open
    std::size_t class_begin = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const char c = pattern[i];
      const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
      items += in_class == 0 ? 1 : 0;
      if (c == '\\') {
        ++i;
        if (i + 1 < pattern.size() && pattern[i + 1] == '{') i = std::min(pattern.find('}', i), pattern.size());
      } else if (in_class > 0) {
        if (c == '[' && next == ':') ++in_class;
        if (c == ']' && --in_class == 0)
          steps_of_character = std::max<std::uint64_t>(steps_of_character, 1 + (i - class_begin) / class_bytes_a_step);
      } else if (c == '[') {
        in_class = 1;
        class_begin = i;
      } else if (c == '*' || c == '+') {
        ++runs;
      } else if (c == '{') {
        read_counts(pattern.substr(i + 1), i > 0 && pattern[i - 1] == ')');
      }
    }
  }

  std::uint64_t items = 1;               ///< that are gone over without repetition
  std::uint64_t runs = 0;                ///< that repeat without a limit
  std::uint64_t longest_count = 1;       ///< how often one item stands there at most, by all numbers in braces
  std::uint64_t steps_of_character = 1;  ///< to compare one character
  bool simple = true;                    ///< no group stands there many times over

 private:
  static constexpr std::size_t class_bytes_a_step = 128;

  /// What follows a brace: "3}", "1,3}", "2,}", or something else.
  void read_counts(std::string_view rest, bool of_group) {
    constexpr std::uint64_t most = 65535;  // PCRE2's
    std::uint64_t number = 0, largest = 1;
    char previous = 0;
    for (const char c : rest) {
      if (c >= '0' && c <= '9') {
        number = std::min(number * 10 + static_cast<std::uint64_t>(c - '0'), most);
        largest = std::max(largest, number);
      } else if (c == ',') {
        number = 0;
      } else {
        if (c == '}' && previous == ',') ++runs;
        break;
      }
      previous = c;
    }
    if (of_group && largest > 1) simple = false;
    items += largest;
    longest_count = std::min(longest_count * largest, most);
  }
};

}  // namespace greentrainer
