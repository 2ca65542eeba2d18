#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace greentrainer {

/// Length of the longest common subsequence. O(|a| |b|) time, O(|b|) memory.
inline std::size_t longest_common_subsequence(std::span<const std::string> a, std::span<const std::string> b) {
  std::vector<std::uint32_t> row(b.size() + 1, 0);
  for (const std::string& word : a) {
    std::uint32_t diagonal = 0;  // of the row before
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::uint32_t above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

/// Marks in `members` the words of `a` that belong to one longest common subsequence with `b`. Which one matters to
/// ROUGE-Lsum: from the end backwards equal words are taken, and otherwise a word of `a` is passed over unless that
/// would lose length. O(|a| |b|) time and memory.
inline void mark_common_subsequence(std::span<const std::string> a, std::span<const std::string> b,
                                    std::vector<bool>& members) {
  const std::size_t width = b.size() + 1;
  std::vector<std::uint32_t> length((a.size() + 1) * width, 0);  // of the first i words of a and the first j of b
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      length[i * width + j] = a[i - 1] == b[j - 1] ? length[(i - 1) * width + j - 1] + 1
                                                   : std::max(length[(i - 1) * width + j], length[i * width + j - 1]);
    }
  }
  for (std::size_t i = a.size(), j = b.size(); i > 0 && j > 0;) {
    if (a[i - 1] == b[j - 1]) {
      members[i - 1] = true;
      --i;
      --j;
    } else if (length[i * width + j - 1] > length[(i - 1) * width + j]) {
      --j;
    } else {
      --i;
    }
  }
}

}  // namespace greentrainer
