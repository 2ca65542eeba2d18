#include "greentrainer/select/gradient_dag.hpp"

#include <vector>

#include <doctest/doctest.h>

namespace gt = greentrainer;

namespace {

// A residual block by hand: node 0 the head, 1 and 2 siblings, 3 their norm (with a transitive need besides).
gt::GradientDag example() {
  gt::GradientDag dag;
  dag.nodes = {{10, {}}, {3, {0}}, {4, {0}}, {1, {1, 2, 0}}};
  dag.items = {{1, 0.5, {}}, {2, 1.5, {1}}, {2, 2.5, {2}}, {5, 4.0, {3}}};
  return dag;
}

}  // namespace

TEST_CASE("a mask's closure is what its items need, directly or not") {
  const gt::GradientDag dag = example();
  CHECK(gt::closure(dag, {false, false, false, false}) == std::vector<bool>{false, false, false, false});
  CHECK(gt::closure(dag, {true, false, false, false}) == std::vector<bool>{false, false, false, false});
  CHECK(gt::closure(dag, {false, true, false, false}) == std::vector<bool>{true, true, false, false});
  CHECK(gt::closure(dag, {false, false, false, true}) == std::vector<bool>{true, true, true, true});
}

TEST_CASE("shared nodes are paid for once") {
  const gt::GradientDag dag = example();
  CHECK(gt::cost_of(dag, {true, false, false, false}) == 1);
  CHECK(gt::cost_of(dag, {false, true, false, false}) == 2 + 3 + 10);
  CHECK(gt::cost_of(dag, {false, true, true, false}) == 2 + 2 + 3 + 4 + 10);
  CHECK(gt::cost_of(dag, {true, true, true, true}) == 10 + 18);
  CHECK(gt::importance_of(dag, {true, false, true, false}) == 3.0);
}

TEST_CASE("masks of the wrong length and broken DAGs are named") {
  gt::GradientDag dag = example();
  CHECK_THROWS_WITH_AS(gt::closure(dag, {true}), "[gradient_dag] mask: expected 4 entries, got 1", gt::ConfigError);
  CHECK_THROWS_AS(gt::importance_of(dag, {true}), gt::ConfigError);
  dag.nodes[1].needs = {1};
  CHECK_THROWS_WITH_AS(gt::validate(dag),
                       "[gradient_dag] node 1: expected needs in [0, 1), got 1; a node's needs come before it",
                       gt::ConfigError);
}
