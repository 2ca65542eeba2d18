#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/metrics/lower_case.hpp"

namespace greentrainer {

namespace squad {

/// The words of an answer as SQuAD's official script compares them: lower case, ASCII punctuation deleted, then "a",
/// "an" and "the" as words of their own deleted, split at white space. Throws DataError for a text that is not UTF-8.
inline std::vector<std::string> answer_words(std::string_view answer) {
  if (const auto at = find_invalid_utf8(answer); at != std::string_view::npos) {
    throw DataError("squad", "answer", text("expected UTF-8, got something else at byte ", at));
  }
  std::string bare;
  for (const char c : lower_case(answer)) {
    const bool punctuation =
        (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    if (!punctuation) bare += c;
  }
  static const Regex article(R"((?<![\p{L}\p{N}])(?:a|an|the)(?![\p{L}\p{N}]))", "squad");
  std::string without_articles;
  std::size_t done = 0;
  article.for_each_match(bare, [&](std::size_t begin, std::size_t end) {
    without_articles.append(bare, done, begin - done).append(" ");
    done = end;
  });
  without_articles.append(bare, done);

  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(word);
    word.clear();
  };
  for (std::size_t i = 0; i < without_articles.size();) {
    const Utf8Char c = utf8_char_at(without_articles, i);
    const bool separator = c.code >= 0x1C && c.code <= 0x1F;  // white space to Python's split, though not to Unicode
    if (is_unicode_space(c.code) || separator)
      finish();
    else
      word.append(without_articles, i, c.length);
    i += c.length;
  }
  finish();
  return words;
}

}  // namespace squad

/// How well an extracted or generated answer fits, each 0 to 1.
struct AnswerScore {
  double exact_match = 0;  ///< 1 or 0
  double f1 = 0;           ///< of the words both have
};

/// SQuAD's exact match and F1, as its official scripts compute them; where neither answer has a word left, both are 1,
/// as since version 2.0.
inline AnswerScore answer_score(std::string_view reference, std::string_view prediction) {
  const std::vector<std::string> expected = squad::answer_words(reference), got = squad::answer_words(prediction);
  AnswerScore score{.exact_match = expected == got ? 1.0 : 0.0};
  if (expected.empty() || got.empty()) return {score.exact_match, score.exact_match};
  std::map<std::string_view, std::size_t> left;
  for (const std::string& word : expected) ++left[word];
  std::size_t hits = 0;
  for (const std::string& word : got) {
    const auto found = left.find(word);
    if (found == left.end() || found->second == 0) continue;
    --found->second;
    ++hits;
  }
  if (hits > 0) {
    const double precision = static_cast<double>(hits) / static_cast<double>(got.size()),
                 recall = static_cast<double>(hits) / static_cast<double>(expected.size());
    score.f1 = 2 * precision * recall / (precision + recall);
  }
  return score;
}

/// Against several right answers: the best exact match and the best F1. Throws DataError without one.
inline AnswerScore answer_score(std::span<const std::string> references, std::string_view prediction) {
  if (references.empty()) throw DataError("answer_score", "references", "expected at least one, got none");
  AnswerScore best;
  for (const std::string& reference : references) {
    const AnswerScore score = answer_score(reference, prediction);
    best.exact_match = std::max(best.exact_match, score.exact_match);
    best.f1 = std::max(best.f1, score.f1);
  }
  return best;
}

}  // namespace greentrainer
