#include "greentrainer/select/chain_problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/greedy_selector.hpp"

namespace gt = greentrainer;

namespace {

gt::ChainProblem random_chain(std::mt19937& random, int length, double unit, bool whole) {
  gt::ChainProblem chain;
  std::uniform_real_distribution<double> cost(0, 9);
  std::uniform_real_distribution<double> importance(-1, 5);
  double total = 0;
  for (int k = 0; k < length; ++k) {
    const auto draw = [&] { return whole ? std::floor(cost(random)) : cost(random) * unit; };
    chain.grad_input.push_back(draw());
    chain.grad_weight.push_back(draw());
    chain.importance.push_back(importance(random));
    total += chain.grad_input.back() + chain.grad_weight.back();
  }
  chain.budget = std::uniform_real_distribution<double>(0, total)(random);
  return chain;
}

struct Reference {
  double best = 0;              // within the budget
  double best_with_margin = 0;  // with a step of it less for each member
};

Reference exhaustive(const gt::ChainProblem& chain, double step) {
  const std::size_t n = chain.grad_weight.size();
  Reference reference;
  for (std::size_t subset = 0; subset < (std::size_t{1} << n); ++subset) {
    double above = 0;
    double weights = 0;
    double cost = 0;
    double importance = 0;
    double margin = 0;
    for (std::size_t k = 0; k < n; ++k) {
      if (((subset >> k) & 1U) != 0) {
        weights += chain.grad_weight[k];
        importance += chain.importance[k];
        cost = above + weights;
        margin += step;
      }
      above += chain.grad_input[k];
    }
    if (cost <= chain.budget) reference.best = std::max(reference.best, importance);
    if (cost + margin <= chain.budget) reference.best_with_margin = std::max(reference.best_with_margin, importance);
  }
  return reference;
}

}  // namespace

TEST_CASE("chains of whole costs are solved exactly, whatever the fraction in the budget") {
  std::mt19937 random(1);
  for (int k = 0; k < 1500; ++k) {
    const gt::ChainProblem chain = random_chain(random, 1 + k % 11, 1, true);
    const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{}, chain);
    CAPTURE(k);
    REQUIRE(std::abs(result.importance - exhaustive(chain, 0).best) < 1e-9);
    REQUIRE(result.cost <= chain.budget);
    REQUIRE(result.optimal);
  }
}

TEST_CASE("chains of real costs in any unit never exceed the budget") {
  std::mt19937 random(2);
  for (const double unit : {1e-300, 1e-9, 1.0, 1e15, 1e300}) {
    for (int k = 0; k < 300; ++k) {
      const gt::ChainProblem chain = random_chain(random, 1 + k % 11, unit, false);
      const double steps = 5 + k % 50;
      const gt::ChainSelection result = gt::select_on_chain(
          gt::ExactSelector{.max_pairs = 0, .budget_steps = static_cast<std::int64_t>(steps)}, chain);
      CAPTURE(unit);
      CAPTURE(k);
      REQUIRE(result.cost <= chain.budget);
      REQUIRE(result.importance >= exhaustive(chain, chain.budget / steps).best_with_margin - 1e-9);
      REQUIRE(gt::select_on_chain(gt::ImportancePerFlopSelector{}, chain).cost <= chain.budget);
    }
  }
}

TEST_CASE("what is proved of a chain holds for its real costs, though these are rounded to whole numbers") {
  std::mt19937 random(3);
  int proved = 0;
  for (int k = 0; k < 1500; ++k) {
    gt::ChainProblem chain = random_chain(random, 1 + k % 11, 1, false);
    for (double& cost : chain.grad_weight)
      cost *= std::ldexp(1.0, -std::uniform_int_distribution<int>(0, 20)(random));  // finer than they are rounded to
    const double best = exhaustive(chain, 0).best;
    const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{}, chain);
    CAPTURE(k);
    REQUIRE(result.bound >= best - 1e-9);
    if (result.optimal) REQUIRE(result.importance >= best - 1e-9);
    proved += result.optimal ? 1 : 0;
  }
  CHECK(proved > 1400);

  // Both are above the budget, by less than costs are rounded by: rounded one way they are, the other way they are not.
  const gt::ChainProblem tight{{0, 0}, {1, std::ldexp(1.0, -70)}, {1, 1}, 1};
  const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{}, tight);
  CHECK(result.importance == 1);
  CHECK_FALSE(result.optimal);
  CHECK(result.bound == 2);
}

TEST_CASE("a budget beyond everything takes all that is worth anything") {
  const gt::ChainProblem chain{{1, 1, 1}, {2, 2, 2}, {1, -1, 1}, 1e300};
  const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{}, chain);
  CHECK(result.mask == std::vector<bool>{true, false, true});
  CHECK(result.cost == 6);  // nobody needs the last grad_input
  CHECK(result.optimal);
}

TEST_CASE("a malformed chain problem is refused") {
  CHECK_THROWS_WITH_AS(gt::to_selection_problem({{1}, {1, 1}, {1, 1}, 1}),
                       "[chain_problem] grad_input: expected 2 entries as in grad_weight, got 1", gt::ConfigError);
  CHECK_THROWS_AS(gt::to_selection_problem({{1, 1}, {1, 1}, {1}, 1}), gt::ConfigError);
  CHECK_THROWS_AS(gt::to_selection_problem({{1}, {-1}, {1}, 1}), gt::ConfigError);
  CHECK_THROWS_AS(gt::to_selection_problem({{1}, {1}, {std::nan("")}, 1}), gt::ConfigError);
  CHECK_THROWS_AS(gt::to_selection_problem({{1}, {1}, {1}, -0.5}), gt::ConfigError);
  CHECK_THROWS_AS(gt::make_chain_selection({{1}, {1}, {1}, 1}, {}), gt::ConfigError);
  CHECK(gt::select_on_chain(gt::ExactSelector{}, {}).mask.empty());
  CHECK(gt::select_on_chain(gt::ExactSelector{}, {{0, 0}, {0, 0}, {1, 2}, 0}).importance == 3);  // all free
}
