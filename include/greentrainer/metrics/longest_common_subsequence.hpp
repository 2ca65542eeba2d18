#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
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

namespace detail {

/// One row of lengths, of the first i words of a and the first j of b for each j, from the row before. `passes_b(j)` is
/// told whether going back from there loses nothing only if a word of b is passed over.
template <class PassesB>
void next_row(const std::string& word, std::span<const std::string> b, std::vector<std::uint32_t>& row,
              const PassesB& passes_b) {
  std::uint32_t diagonal = 0;  // of the row before
  for (std::size_t j = 1; j <= b.size(); ++j) {
    const std::uint32_t above = row[j];
    if (row[j - 1] > above) passes_b(j);
    row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
    diagonal = above;
  }
}

}  // namespace detail

/// Marks in `members` the words of `a` that belong to one longest common subsequence with `b`. Which one matters to
/// ROUGE-Lsum: from the end backwards equal words are taken, and otherwise a word of `a` is passed over unless that
/// would lose length. O(|a| |b|) time, O(sqrt(|a|) |b|) memory: rows of the table are kept at distances, and those
/// between are computed again on the way back, one bit a place.
inline void mark_common_subsequence(std::span<const std::string> a, std::span<const std::string> b,
                                    std::vector<bool>& members) {
  // 4 bytes a place of a kept row, one bit a place of the rows between two of them: the least of both together.
  const auto distance = static_cast<std::size_t>(std::sqrt(32.0 * static_cast<double>(a.size()))) + 1;
  const std::size_t width = b.size() + 1;
  std::vector<std::vector<std::uint32_t>> kept;
  std::vector<std::uint32_t> row(width, 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (i % distance == 0) kept.push_back(row);
    detail::next_row(a[i], b, row, [](std::size_t) {});
  }
  std::vector<bool> passes_b;
  std::size_t j = b.size();
  for (std::size_t block = kept.size(); block-- > 0 && j > 0;) {
    const std::size_t first = block * distance, end = std::min(first + distance, a.size());
    row = std::move(kept[block]);
    passes_b.assign((end - first) * width, false);
    for (std::size_t i = first; i < end; ++i)
      detail::next_row(a[i], b, row, [&](std::size_t at) { passes_b[(i - first) * width + at] = true; });
    for (std::size_t i = end; i > first && j > 0;) {
      if (a[i - 1] == b[j - 1]) {
        members[i - 1] = true;
        --i;
        --j;
      } else if (passes_b[(i - 1 - first) * width + j]) {
        --j;
      } else {
        --i;
      }
    }
  }
}

}  // namespace greentrainer
