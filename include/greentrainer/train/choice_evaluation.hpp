#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "greentrainer/data/load_choices.hpp"
#include "greentrainer/train/evaluation.hpp"

namespace greentrainer {

/// How often the right one of a row's candidates is the one that the model finds most likely.
struct ChoiceEvaluation {
  struct OfRow {
    std::size_t chosen = 0;  ///< candidate; the first of equals
    bool correct = false;
    std::vector<double> log_likelihoods;  ///< of each candidate's tokens together, given the prompt; natural logarithm
  };

  std::vector<OfRow> rows;
  Extent correct = 0;
  Flops flops = 0;

  double accuracy() const { return rows.empty() ? 0 : static_cast<double>(correct) / static_cast<double>(rows.size()); }
};

/// Scores every candidate of every row; to the options, a candidate is an example. Where `should_stop` says yes, the
/// result is that of the rows whose candidates were all seen. Throws DataError without a row, and as evaluate.
template <Backend B>
ChoiceEvaluation evaluate_choices(Model<B>& model, std::span<const Choices::Row> rows,
                                  const EvaluateOptions& options = {}) {
  std::vector<Example> examples;
  for (const Choices::Row& row : rows) examples.insert(examples.end(), row.candidates.begin(), row.candidates.end());
  const Evaluation evaluation = evaluate(model, std::span<const Example>(examples), options);

  ChoiceEvaluation result{.rows = {}, .correct = 0, .flops = evaluation.flops};
  auto candidate = evaluation.examples.begin();
  for (const Choices::Row& row : rows) {
    if (static_cast<std::size_t>(evaluation.examples.end() - candidate) < row.candidates.size()) break;  // stopped
    ChoiceEvaluation::OfRow one;
    for (std::size_t i = 0; i < row.candidates.size(); ++i, ++candidate)
      one.log_likelihoods.push_back(-candidate->loss * static_cast<double>(candidate->tokens));
    one.chosen = static_cast<std::size_t>(std::max_element(one.log_likelihoods.begin(), one.log_likelihoods.end()) -
                                          one.log_likelihoods.begin());
    one.correct = one.chosen == row.answer;
    result.correct += one.correct ? 1 : 0;
    result.rows.push_back(std::move(one));
  }
  return result;
}

}  // namespace greentrainer
