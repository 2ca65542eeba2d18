#include "greentrainer/select/parameter_pairs.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

TEST_CASE(
    "the choice among joined items is the best of those that have both of each pair or none, at their true cost") {
  std::mt19937 random(8);
  int joined_chosen = 0;
  for (int k = 0; k < 400; ++k) {
    gtt::SmallDagBuilder builder(random, 9);
    gtt::add_small_shape(builder, k % gtt::shapes, random);
    const gt::GradientDag apart = builder.dag;
    const std::size_t items = apart.items.size();
    std::vector<int> order(items);
    for (std::size_t i = 0; i < items; ++i) order[i] = static_cast<int>(i);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<gt::ParameterPair> pairs;
    for (std::size_t i = 0; i + 1 < std::min<std::size_t>(items, 5); i += 2) pairs.emplace_back(order[i], order[i + 1]);
    gt::SelectionProblem problem{apart, gtt::pick(random, 0, static_cast<int>(gtt::total_cost(apart)))};
    gt::join_pairs(problem.dag, pairs);
    CAPTURE(k);

    double best = 0;
    for (std::size_t subset = 0; subset < std::size_t{1} << items; ++subset) {
      std::vector<bool> mask(items);
      for (std::size_t i = 0; i < items; ++i) mask[i] = ((subset >> i) & 1U) != 0;
      bool together = true;
      for (const auto& [one, other] : pairs)
        together &= mask[static_cast<std::size_t>(one)] == mask[static_cast<std::size_t>(other)];
      if (!together || gt::cost_of(apart, mask) > problem.budget) continue;
      double importance = 0;
      for (std::size_t i = 0; i < items; ++i) importance += mask[i] ? apart.items[i].importance : 0;
      best = std::max(best, importance);
    }
    gt::SelectionResult chosen = gt::ExactSelector{}.select(problem);
    REQUIRE(chosen.importance == best);
    gt::take_pairs_apart(chosen.mask, pairs);
    REQUIRE(gt::cost_of(apart, chosen.mask) == chosen.cost);
    REQUIRE(chosen.cost <= problem.budget);
    for (const auto& [one, other] : pairs) joined_chosen += chosen.mask[static_cast<std::size_t>(one)] ? 1 : 0;
  }
  CHECK(joined_chosen > 100);
}
