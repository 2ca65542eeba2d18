#include "greentrainer/select/greedy_selector.hpp"

#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "gradient_dags.hpp"
#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

static_assert(gt::Selector<gt::ImportancePerFlopSelector>);

TEST_CASE("importance per FLOP counts the gradients an item lacks, and no longer once they are there") {
  gt::SelectionProblem problem;
  problem.dag.nodes = {{6, {}}};
  // Alone, item 1 brings 4 for 8; once item 2 has paid for the node, 4 for 2, before item 0.
  problem.dag.items = {{4, 6.0, {}}, {2, 4.0, {0}}, {1, 14.0, {0}}};
  problem.budget = 9;
  const gt::SelectionResult result = gt::ImportancePerFlopSelector{}.select(problem);
  CHECK(result.mask == std::vector<bool>{false, true, true});
  CHECK(result.cost == 9);
  CHECK(result.importance == 18.0);
  CHECK_FALSE(result.optimal);
}

TEST_CASE("importance per FLOP keeps the budget, never beats exhaustive search and leaves nothing out that fits") {
  std::mt19937 random(1);
  for (int k = 0; k < 2000; ++k) {
    gtt::SmallDagBuilder builder(random, 9);
    gtt::add_small_shape(builder, k % gtt::shapes, random);
    const gt::SelectionProblem problem{builder.dag,
                                       gtt::pick(random, 0, static_cast<int>(gtt::total_cost(builder.dag)))};
    const gtt::ExhaustiveSelection all(problem.dag);
    const gt::SelectionResult result = gt::ImportancePerFlopSelector{}.select(problem);
    CAPTURE(k);
    REQUIRE(gtt::fault(problem, all, result, false) == "");
    REQUIRE(result.importance <= all.best(problem.budget) + 1e-9);
    for (std::size_t i = 0; i < result.mask.size(); ++i) {
      if (result.mask[i] || problem.dag.items[i].importance <= 0) continue;
      std::vector<bool> more = result.mask;
      more[i] = true;
      REQUIRE(gt::cost_of(problem.dag, more) > problem.budget);
    }
  }
}
