#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "greentrainer/metrics/paired_bootstrap.hpp"
#include "greentrainer/train/evaluation.hpp"

namespace greentrainer {

/// By how much the loss of `other` lies above that of `one`, on the same examples; as far as the choice of examples
/// goes, 95% of the time between `low` and `high`. Throws ConfigError where they are not of as many examples.
inline PairedDifference loss_difference(const Evaluation& one, const Evaluation& other) {
  ScoresByRun losses(1), others(1);
  std::vector<double> weights;
  for (const Evaluation::OfExample& example : one.examples) {
    losses.front().push_back(example.loss);
    weights.push_back(static_cast<double>(example.tokens));
  }
  for (const Evaluation::OfExample& example : other.examples) others.front().push_back(example.loss);
  return paired_difference(others, losses, weights);
}

/// Whether the examples tell two losses apart.
inline bool is_clear(const PairedDifference& difference) { return difference.low > 0; }

/// What pilots say.
struct PilotVerdict {
  std::optional<std::size_t> chosen = {};  ///< nothing: nobody is better than `before`, or the default by enough
  bool improves = false;                   ///< the lowest loss is lower than that before training, clearly
  std::size_t best = 0;                    ///< the lowest loss, the first of equals
  std::vector<std::size_t> alike = {};     ///< others that the examples do not tell apart from it, ascending

  bool is_sure() const { return chosen && alike.empty(); }
};

/// Compares candidates that were trained for the same FLOPs. `before`: of the untrained model. `by_default`: the
/// candidate to stay with unless another one is clearly better; nothing where it is not among them. All evaluations
/// must be of the same examples (ConfigError), and there must be one.
inline PilotVerdict judge_pilots(const Evaluation& before, const std::vector<const Evaluation*>& candidates,
                                 std::optional<std::size_t> by_default) {
  PilotVerdict verdict;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    if (candidates[i]->loss < candidates[verdict.best]->loss) verdict.best = i;
  }
  const Evaluation& best = *candidates.at(verdict.best);
  verdict.improves = is_clear(loss_difference(best, before));
  bool default_is_alike = verdict.best == by_default;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i == verdict.best || is_clear(loss_difference(best, *candidates[i]))) continue;
    verdict.alike.push_back(i);
    if (i == by_default) default_is_alike = true;
  }
  if (!verdict.improves) return verdict;
  if (verdict.best == by_default || !default_is_alike) verdict.chosen = verdict.best;
  return verdict;
}

}  // namespace greentrainer
