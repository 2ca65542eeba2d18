#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "greentrainer/metrics/rouge.hpp"
#include "greentrainer/metrics/squad.hpp"

namespace greentrainer {

/// How well texts fit their references, each score from 0 to 1.
struct TextScores {
  std::vector<std::string_view> names = {};
  std::vector<std::vector<double>> of_text = {};  ///< in the order of the names
  std::vector<double> mean = {};
};

/// Summaries by the F-measures of ROUGE with stemming, answers by exact match and F1; of several references the best
/// counts. Throws DataError unless every text has a reference, UsageError for tasks whose answers are not texts.
inline TextScores score_texts(DatasetTask task, std::span<const std::string> texts,
                              std::span<const std::vector<std::string>> references) {
  if (task == DatasetTask::choice)
    throw UsageError("score_texts", "data set",
                     "expected one whose answers are texts, got one of labels to choose from");
  TextScores scores;
  if (task == DatasetTask::summary)
    scores.names = {"rouge1", "rouge2", "rougeL", "rougeLsum"};
  else
    scores.names = {"exact_match", "f1"};
  scores.mean.assign(scores.names.size(), 0);
  if (texts.empty() || texts.size() != references.size()) {
    throw DataError("score_texts", "references",
                    text("expected some, and one set for each of ", texts.size(), " texts, got ", references.size()));
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (task == DatasetTask::summary) {
      const RougeScores rouge = rouge_scores(references[i], texts[i]);
      scores.of_text.push_back({rouge.rouge1.f, rouge.rouge2.f, rouge.rouge_l.f, rouge.rouge_lsum.f});
    } else {
      const AnswerScore answer = answer_score(references[i], texts[i]);
      scores.of_text.push_back({answer.exact_match, answer.f1});
    }
    for (std::size_t s = 0; s < scores.mean.size(); ++s)
      scores.mean[s] += scores.of_text.back()[s] / static_cast<double>(texts.size());
  }
  return scores;
}

}  // namespace greentrainer
