#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/random.hpp"

namespace greentrainer {

/// Scores of a method: for each run (a seed) one number for each example.
using ScoresByRun = std::vector<std::vector<double>>;

/// By how much one method's mean score lies above another's, and how sure that is.
struct PairedDifference {
  double mean = 0;
  double standard_error = 0;
  double low = 0, high = 0;  ///< between which 95% of the draws lie
};

/// Compares two methods that were run with the same seeds and scored on the same examples: means over runs and
/// examples, examples weighted by `weights` (empty: equally; a loss by its labelled tokens). The error is a
/// bootstrap's: runs and examples are both drawn with replacement, the same for both methods. With one run it says
/// nothing about seeds. Equal arguments give equal results. Throws ConfigError where runs or examples differ in number,
/// or there are none. O(draws x runs x examples).
inline PairedDifference paired_difference(const ScoresByRun& method, const ScoresByRun& other,
                                          const std::vector<double>& weights = {}, std::size_t draws = 2000,
                                          std::uint64_t seed = 1) {
  const auto expect = [](bool holds, const char* what) {
    if (!holds) throw ConfigError("paired_difference", "scores", text("expected ", what));
  };
  expect(!method.empty() && method.size() == other.size(), "as many runs of both methods, and at least one");
  const std::size_t runs = method.size(), examples = method.front().size();
  expect(examples > 0, "at least one example");
  for (std::size_t r = 0; r < runs; ++r)
    expect(method[r].size() == examples && other[r].size() == examples, "the same examples in every run");
  expect(weights.empty() || weights.size() == examples, "a weight for each example, or none");
  expect(draws > 1, "at least two draws");

  std::vector<std::size_t> all_runs(runs), all_examples(examples);
  for (std::size_t r = 0; r < runs; ++r) all_runs[r] = r;
  for (std::size_t e = 0; e < examples; ++e) all_examples[e] = e;
  const auto mean_of = [&](const std::vector<std::size_t>& of_runs, const std::vector<std::size_t>& of_examples) {
    double sum = 0, weight = 0;
    for (const std::size_t e : of_examples) {
      const double w = weights.empty() ? 1 : weights[e];
      double difference = 0;
      for (const std::size_t r : of_runs) difference += method[r][e] - other[r][e];
      sum += w * difference;
      weight += w;
    }
    return weight > 0 ? sum / (weight * static_cast<double>(of_runs.size())) : 0;
  };

  PairedDifference result{.mean = mean_of(all_runs, all_examples)};
  CounterRandom random(seed, "bootstrap");
  const auto draw = [&](std::vector<std::size_t>& from) {
    for (std::size_t& one : from) one = random.below(static_cast<std::uint32_t>(from.size()));
  };
  std::vector<double> means(draws);
  double sum = 0;
  for (double& mean : means) {
    draw(all_runs);
    draw(all_examples);
    mean = mean_of(all_runs, all_examples);
    sum += mean;
  }
  const double middle = sum / static_cast<double>(draws);
  double squares = 0;
  for (const double mean : means) squares += (mean - middle) * (mean - middle);
  result.standard_error = std::sqrt(squares / static_cast<double>(draws - 1));
  std::sort(means.begin(), means.end());
  const std::size_t tail = draws / 40;
  result.low = means[tail];
  result.high = means[draws - 1 - tail];
  return result;
}

}  // namespace greentrainer
