#include "greentrainer/metrics/longest_common_subsequence.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/metrics/rouge.hpp"
#include "support/temporary_folder.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

using Words = std::vector<std::string>;

Words random_words(CounterRandom& random, std::size_t count, std::uint32_t different) {
  Words words;
  for (std::size_t i = 0; i < count; ++i) words.push_back(std::to_string(random.below(different)));
  return words;
}

/// With the whole table in memory, and back from its end by the same rule.
std::vector<bool> marked_by_whole_table(const Words& a, const Words& b) {
  std::vector<std::vector<int>> length(a.size() + 1, std::vector<int>(b.size() + 1, 0));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j)
      length[i][j] = a[i - 1] == b[j - 1] ? length[i - 1][j - 1] + 1 : std::max(length[i - 1][j], length[i][j - 1]);
  }
  std::vector<bool> members(a.size());
  for (std::size_t i = a.size(), j = b.size(); i > 0 && j > 0;) {
    if (a[i - 1] == b[j - 1])
      members[--i] = true, --j;
    else if (length[i][j - 1] > length[i - 1][j])
      --j;
    else
      --i;
  }
  return members;
}

}  // namespace

TEST_CASE("a common subsequence from rows at distances is that of the whole table") {
  CounterRandom random(0, "subsequences", 0);
  for (int round = 0; round < 300; ++round) {
    const std::uint32_t different = 1 + random.below(round < 100 ? 3 : 30);
    const Words a = random_words(random, random.below(90), different),
                b = random_words(random, random.below(90), different);
    std::vector<bool> members(a.size());
    mark_common_subsequence(a, b, members);
    CHECK(members == marked_by_whole_table(a, b));
  }
  const Words a = random_words(random, 1500, 40), b = random_words(random, 1200, 40);
  std::vector<bool> members(a.size());
  mark_common_subsequence(a, b, members);
  CHECK(members == marked_by_whole_table(a, b));
}

TEST_CASE("texts of megabytes are refused before they are compared, and empty lines are not compared at all") {
  std::string words;
  for (int i = 0; i < 100000; ++i) words += "word ";
  const auto error = error_of<DataError>([&] { rouge_scores(words, words, false); });
  CHECK(has(error, "got 100000 and 100000 words"));
  const std::string lines = std::string(1000000, '\n') + "a word";
  CHECK(rouge_scores(lines, lines, false).rouge_lsum.f == 1);
}
