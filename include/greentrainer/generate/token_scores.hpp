#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "greentrainer/generate/generate_options.hpp"

namespace greentrainer {

// Scores of the next token, (vocabulary), and what is done to them before one is chosen. A token that is out of the
// question has banned_score.

inline constexpr double banned_score = -std::numeric_limits<double>::infinity();

/// Logits as scores, in double. Throws NumericalError if they are not all finite.
template <class T>
void scores_from_logits(std::span<const T> logits, std::vector<double>& scores) {
  scores.assign(logits.begin(), logits.end());
  if (!std::isfinite(std::accumulate(scores.begin(), scores.end(), 0.0))) {
    throw NumericalError("generate", "logits", "expected finite numbers, got others; are the weights damaged?");
  }
}

/// The same as log-probabilities. The exponentials are those of the logits' type: beyond its precision there is nothing
/// to be had.
template <class T>
void log_probabilities_from_logits(std::span<const T> logits, std::vector<double>& scores) {
  scores_from_logits(logits, scores);
  const T max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const T x : logits) sum += static_cast<double>(std::exp(x - max));
  const double log_sum = static_cast<double>(max) + std::log(sum);
  for (double& score : scores) score -= log_sum;
}

/// Makes tokens of the context less likely; each once, however often it is there.
inline void penalize_repetition(std::span<double> scores, std::span<const Index> context, double penalty) {
  std::vector<Index> distinct(context.begin(), context.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const Index id : distinct) {
    double& score = scores[static_cast<std::size_t>(id)];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

/// Bans tokens that would end a run of `size` tokens that the context already has.
inline void ban_repeated_ngrams(std::span<double> scores, std::span<const Index> context, Extent size) {
  const auto n = static_cast<std::size_t>(size);
  if (n == 0 || context.size() < n) return;
  const auto start = context.last(n - 1);
  for (std::size_t i = 0; i + n <= context.size(); ++i) {
    if (std::ranges::equal(context.subspan(i, n - 1), start))
      scores[static_cast<std::size_t>(context[i + n - 1])] = banned_score;
  }
}

/// What the options do to the scores of any way of generating. `new_tokens`: how many of the context are not the
/// prompt's.
inline void process_scores(std::span<double> scores, std::span<const Index> context, Extent new_tokens,
                           const GenerateOptions& options) {
  if (options.repetition_penalty != 1) penalize_repetition(scores, context, options.repetition_penalty);
  ban_repeated_ngrams(scores, context, options.no_repeat_ngram_size);
  if (new_tokens < options.min_new_tokens) {
    for (const Index id : options.eos_ids) scores[static_cast<std::size_t>(id)] = banned_score;
  }
}

/// Bans all but the k best, and those as good as the last of them.
inline void keep_top_k(std::span<double> scores, Extent k) {
  if (k <= 0 || k >= static_cast<Extent>(scores.size())) return;
  std::vector<double> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double least = sorted[static_cast<std::size_t>(k - 1)];
  for (double& score : scores) {
    if (score < least) score = banned_score;
  }
}

/// Bans the worst as long as their probabilities add up to at most 1 - p; the best stays.
inline void keep_top_p(std::span<double> scores, double p) {
  if (p >= 1) return;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != banned_score) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double sum = 0;
  const double max = scores[order.back()];
  for (const std::size_t i : order) sum += std::exp(scores[i] - max);
  double below = 0;
  for (std::size_t o = 0; o + 1 < order.size(); ++o) {
    below += std::exp(scores[order[o]] - max) / sum;
    if (below > 1 - p) break;
    scores[order[o]] = banned_score;
  }
}

/// Scores to those that sampling draws from.
inline void shape_distribution(std::span<double> scores, const GenerateOptions& options) {
  for (double& score : scores) score /= options.temperature;
  keep_top_k(scores, options.top_k);
  keep_top_p(scores, options.top_p);
}

/// The token on which `uniform`, in [0, 1), falls when the probabilities softmax(scores) are laid end to end. Requires
/// one that is not banned.
inline Index draw(std::span<const double> scores, double uniform) {
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double score : scores) sum += std::exp(score - max);
  double left = uniform * sum;
  std::size_t last = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] == banned_score) continue;
    last = i;
    left -= std::exp(scores[i] - max);
    if (left < 0) break;
  }
  return static_cast<Index>(last);
}

}  // namespace greentrainer
