#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/metrics/longest_common_subsequence.hpp"
#include "greentrainer/metrics/rouge_tokens.hpp"

namespace greentrainer {

/// Shares between 0 and 1, and their harmonic mean.
struct RougeScore {
  double precision = 0;
  double recall = 0;
  double f = 0;

  /// From the number of hits and the lengths of prediction and reference; 0 where a length is 0.
  static RougeScore of(std::size_t hits, std::size_t prediction, std::size_t reference) {
    RougeScore score;
    if (prediction > 0) score.precision = static_cast<double>(hits) / static_cast<double>(prediction);
    if (reference > 0) score.recall = static_cast<double>(hits) / static_cast<double>(reference);
    if (hits > 0) score.f = 2 * score.precision * score.recall / (score.precision + score.recall);
    return score;
  }
};

/// ROUGE of one prediction, as the Python package rouge-score 0.1.2 computes it.
struct RougeScores {
  RougeScore rouge1 = {}, rouge2 = {};  ///< shared words, shared pairs of words
  RougeScore rouge_l = {};              ///< longest common subsequence of the whole texts
  /// Union of the longest common subsequences of each reference sentence with all predicted ones; sentences are lines.
  RougeScore rouge_lsum = {};
};

namespace rouge {

using Words = std::vector<std::string>;

/// Of words of a reference and a prediction: the longest common subsequence compares all of them.
inline constexpr std::size_t most_pairs = std::size_t{1} << 32;

/// Shared runs of n words, each as often as in the text that has it less often.
inline RougeScore n_grams(const Words& reference, const Words& prediction, std::size_t n) {
  const auto counts = [n](const Words& words) {
    std::map<std::vector<std::string_view>, std::size_t> grams;
    for (std::size_t i = 0; i + n <= words.size(); ++i) {
      ++grams[{words.begin() + static_cast<std::ptrdiff_t>(i), words.begin() + static_cast<std::ptrdiff_t>(i + n)}];
    }
    return grams;
  };
  const auto predicted = counts(prediction);
  std::size_t hits = 0;
  for (const auto& [gram, count] : counts(reference)) {
    const auto found = predicted.find(gram);
    if (found != predicted.end()) hits += std::min(count, found->second);
  }
  const auto number = [n](const Words& words) { return words.size() < n ? 0 : words.size() - n + 1; };
  return RougeScore::of(hits, number(prediction), number(reference));
}

inline std::vector<Words> lines(std::string_view text, bool stem) {
  std::vector<Words> all;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    // Lines without a word share none, and millions of them would be compared with millions.
    if (auto words = rouge_tokens(text.substr(0, end), stem); !words.empty()) all.push_back(std::move(words));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

/// A word counts as a hit at most as often as each text has it, however many lines it is shared between.
inline RougeScore summary_level(const std::vector<Words>& reference, const std::vector<Words>& prediction) {
  std::map<std::string_view, std::size_t> left_in_reference, left_in_prediction;
  std::size_t reference_words = 0, predicted_words = 0, hits = 0;
  for (const Words& line : reference) {
    reference_words += line.size();
    for (const std::string& word : line) ++left_in_reference[word];
  }
  for (const Words& line : prediction) {
    predicted_words += line.size();
    for (const std::string& word : line) ++left_in_prediction[word];
  }
  for (const Words& line : reference) {
    std::vector<bool> shared(line.size(), false);
    for (const Words& predicted : prediction) mark_common_subsequence(line, predicted, shared);
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (!shared[i] || left_in_prediction[line[i]] == 0 || left_in_reference[line[i]] == 0) continue;
      --left_in_prediction[line[i]];
      --left_in_reference[line[i]];
      ++hits;
    }
  }
  return RougeScore::of(hits, predicted_words, reference_words);
}

}  // namespace rouge

/// Scores a prediction against one reference. `stem`: words are reduced to their stems first (use_stemmer of
/// rouge-score, which papers report). O(words of the reference x words of the prediction). Throws DataError where that
/// is more than some ten seconds.
inline RougeScores rouge_scores(std::string_view reference, std::string_view prediction, bool stem = true) {
  const rouge::Words expected = rouge_tokens(reference, stem), got = rouge_tokens(prediction, stem);
  if (!got.empty() && expected.size() > rouge::most_pairs / got.size()) {
    throw DataError("rouge_scores", "reference and prediction",
                    text("expected at most ", rouge::most_pairs, " pairs of words, got ", expected.size(), " and ",
                         got.size(), " words; score shorter texts"));
  }
  return {.rouge1 = rouge::n_grams(expected, got, 1),
          .rouge2 = rouge::n_grams(expected, got, 2),
          .rouge_l = RougeScore::of(longest_common_subsequence(expected, got), got.size(), expected.size()),
          .rouge_lsum = rouge::summary_level(rouge::lines(reference, stem), rouge::lines(prediction, stem))};
}

/// The same against several references: for each kind of score that of the reference with the highest f, the first of
/// equals. Throws DataError without a reference.
inline RougeScores rouge_scores(std::span<const std::string> references, std::string_view prediction,
                                bool stem = true) {
  if (references.empty()) throw DataError("rouge_scores", "references", "expected at least one, got none");
  RougeScores best = rouge_scores(references.front(), prediction, stem);
  for (const std::string& reference : references.subspan(1)) {
    const RougeScores scores = rouge_scores(reference, prediction, stem);
    for (const auto kind :
         {&RougeScores::rouge1, &RougeScores::rouge2, &RougeScores::rouge_l, &RougeScores::rouge_lsum}) {
      if ((scores.*kind).f > (best.*kind).f) best.*kind = scores.*kind;
    }
  }
  return best;
}

}  // namespace greentrainer
