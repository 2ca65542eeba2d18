#include "greentrainer/select/drawn_importance.hpp"

#include <map>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

namespace {

std::vector<double> importances(const gt::SelectionProblem& problem) {
  std::vector<double> all;
  for (const auto& item : problem.dag.items) all.push_back(item.importance);
  return all;
}

gt::SelectionResult draw(gt::SelectionProblem problem, std::uint64_t seed, std::uint64_t step) {
  const std::vector<double> drawn = gt::drawn_importance(importances(problem), seed, step);
  for (std::size_t i = 0; i < drawn.size(); ++i) problem.dag.items[i].importance = drawn[i];
  return gt::ExactSelector{}.select(problem);
}

/// Items that cost the same and need nothing.
gt::SelectionProblem equal_costs(const std::vector<double>& importance, std::int64_t budget) {
  gt::SelectionProblem problem{.dag = {}, .budget = budget};
  for (const double value : importance) problem.dag.items.push_back({.cost = 1, .importance = value});
  return problem;
}

/// Pearson's statistic of draws against their probabilities.
double chi_square(const std::map<std::vector<bool>, int>& counts,
                  const std::map<std::vector<bool>, double>& probabilities, int draws) {
  double sum = 0;
  for (const auto& [mask, probability] : probabilities) {
    const auto found = counts.find(mask);
    const double expected = probability * draws, got = found == counts.end() ? 0 : found->second;
    sum += (got - expected) * (got - expected) / expected;
  }
  return sum;
}

constexpr int draws = 4000;

}  // namespace

TEST_CASE("where the budget pays for one item, it is drawn in proportion to importance; others of no worth never are") {
  const auto problem = equal_costs({1, 2, -5, 3, 0, 4}, 1);
  std::map<std::vector<bool>, int> counts;
  for (int step = 0; step < draws; ++step) ++counts[draw(problem, 3, static_cast<std::uint64_t>(step)).mask];
  std::map<std::vector<bool>, double> probabilities;
  for (const auto& [item, weight] : std::vector<std::pair<std::size_t, double>>{{0, 1}, {1, 2}, {3, 3}, {5, 4}}) {
    std::vector<bool> mask(6, false);
    mask[item] = true;
    probabilities[mask] = weight / 10;
  }
  CHECK(counts.size() == 4);                               // and no other
  CHECK(chi_square(counts, probabilities, draws) < 16.3);  // 3 degrees of freedom, 1 in 1000
}

TEST_CASE("where it pays for two of one cost, the second is drawn in proportion to the importances of what is left") {
  const std::vector<double> weights = {0.5, 0.3, 0.15, 0.05};
  const auto problem = equal_costs(weights, 2);
  std::map<std::vector<bool>, int> counts;
  for (int step = 0; step < draws; ++step) ++counts[draw(problem, 4, static_cast<std::uint64_t>(step)).mask];
  std::map<std::vector<bool>, double> probabilities;
  for (std::size_t a = 0; a < weights.size(); ++a) {
    for (std::size_t b = 0; b < weights.size(); ++b) {
      std::vector<bool> mask(weights.size(), false);
      mask[a] = mask[b] = true;
      if (a != b) probabilities[mask] += weights[a] * weights[b] / (1 - weights[a]);
    }
  }
  CHECK(counts.size() == 6);
  CHECK(chi_square(counts, probabilities, draws) < 20.6);  // 5 degrees of freedom, 1 in 1000
}

TEST_CASE("every draw keeps budget and dependencies, and is the best choice for what was drawn") {
  std::mt19937 random(6);
  int spent = 0;
  for (int k = 0; k < 300; ++k) {
    gtt::SmallDagBuilder builder(random, 9);
    gtt::add_small_shape(builder, k % gtt::shapes, random);
    const gt::SelectionProblem problem{builder.dag,
                                       gtt::pick(random, 0, static_cast<int>(gtt::total_cost(builder.dag)))};
    const gt::SelectionResult drawn = draw(problem, 1, static_cast<std::uint64_t>(k));
    CAPTURE(k);
    REQUIRE(gt::cost_of(problem.dag, drawn.mask) <= problem.budget);
    REQUIRE(drawn.optimal);
    for (std::size_t i = 0; i < drawn.mask.size(); ++i)
      REQUIRE((!drawn.mask[i] || problem.dag.items[i].importance > 0));
    spent += drawn.cost > 0 ? 1 : 0;
  }
  CHECK(spent > 100);
}

TEST_CASE("a draw is a function of seed and step, and does not move what stands behind an item without worth") {
  const std::vector<double> importance = {1, 2, 3, 4};
  const auto one = gt::drawn_importance(importance, 1, 2);
  CHECK(gt::drawn_importance(importance, 1, 2) == one);
  CHECK(gt::drawn_importance(importance, 1, 3) != one);
  CHECK(gt::drawn_importance(importance, 2, 2) != one);
  const auto other = gt::drawn_importance({1, 0, 3, -4}, 1, 2);
  CHECK(other == std::vector<double>{one[0], 0, one[2], -4});
}
