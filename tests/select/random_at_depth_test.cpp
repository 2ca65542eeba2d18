#include "greentrainer/select/random_at_depth.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "gradient_dags.hpp"
#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

static_assert(gt::Selector<gt::RandomAtDepthSelector>);

TEST_CASE("random choices at a selection's depth keep the budget and need no gradient that the selection does not") {
  std::mt19937 random(4);
  const gt::RandomAtDepthSelector selector(1);
  int compared = 0;
  for (int k = 0; k < 2000; ++k) {
    gtt::SmallDagBuilder builder(random, 9);
    gtt::add_small_shape(builder, k % gtt::shapes, random);
    const gt::SelectionProblem problem{builder.dag,
                                       gtt::pick(random, 0, static_cast<int>(gtt::total_cost(builder.dag)))};
    CAPTURE(k);
    const gt::SelectionResult exact = gt::ExactSelector{}.select(problem), drawn = selector.select(problem);
    REQUIRE(drawn.cost == gt::cost_of(problem.dag, drawn.mask));
    REQUIRE(drawn.cost <= problem.budget);
    REQUIRE_FALSE(drawn.optimal);
    const auto count = [](const std::vector<bool>& mask) { return std::count(mask.begin(), mask.end(), true); };
    REQUIRE((count(drawn.mask) > 0) == (count(exact.mask) > 0));
    const std::vector<bool> depth = gt::closure(problem.dag, exact.mask),
                            reached = gt::closure(problem.dag, drawn.mask);
    for (std::size_t n = 0; n < depth.size(); ++n) REQUIRE((depth[n] || !reached[n]));
    // As deep: some item needs as many nodes as any of the exact selection, or more of those that its items share out.
    const auto deepest = [&](const std::vector<bool>& mask) {
      std::ptrdiff_t most = 0;
      for (std::size_t i = 0; i < mask.size(); ++i) {
        if (!mask[i]) continue;
        std::vector<bool> alone(mask.size(), false);
        alone[i] = true;
        most = std::max(most, count(gt::closure(problem.dag, alone)));
      }
      return most;
    };
    REQUIRE(deepest(drawn.mask) >= deepest(exact.mask));
    ++compared;
  }
  CHECK(compared == 2000);
}

TEST_CASE("other importances give another random choice; the same ones and the same seed give it again") {
  gt::SelectionProblem problem{.dag = {}, .budget = 10};
  for (int i = 0; i < 20; ++i) problem.dag.items.push_back({.cost = 1, .importance = 1, .needs = {}});
  const gt::RandomAtDepthSelector a(1), again(1), other(2);
  std::set<std::vector<bool>> masks;
  for (int k = 0; k < 10; ++k) {
    problem.dag.items[0].importance = 1 + k;
    const auto mask = a.select(problem).mask;
    CHECK(std::count(mask.begin(), mask.end(), true) == 10);
    CHECK(a.select(problem).mask == mask);
    CHECK(again.select(problem).mask == mask);
    CHECK(other.select(problem).mask != mask);
    masks.insert(mask);
  }
  CHECK(masks.size() == 10);
}
