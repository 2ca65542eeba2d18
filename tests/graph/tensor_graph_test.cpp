// Graphs that make no sense are refused where they are built, by the operator's or the parameter's name.

#include "greentrainer/graph/tensor_graph.hpp"

#include <doctest/doctest.h>

#include "greentrainer/blocks/block_builder.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

constexpr Rows tokens = Rows::decoder_tokens;

/// Embedding, one linear layer, the labelled rows, the head.
Graph small_graph() {
  Graph graph;
  graph.parameter("embed.weight", {10, 4});
  graph.parameter("layer.weight", {4, 4});
  BlockBuilder<CostsAlone> b(graph);
  ValueId x = b.embedding("embed", {.rows = tokens});
  x = b.add("residual", x, b.linear("layer", x));
  b.cross_entropy_head("head", b.gather_labelled("labelled_rows", x), "embed.weight");
  return graph;
}

}  // namespace

TEST_CASE("a graph knows its values, uses and shapes") {
  const Graph graph = small_graph();
  graph.finish();
  REQUIRE(graph.find("layer.weight") == ParameterId{1});
  CHECK(!graph.find("layer.bias"));
  CHECK(graph.parameter(0).rows() == 10);
  CHECK(graph.parameter(0).size() == 40);
  CHECK(graph.uses(0).size() == 2);  // embedding and head
  CHECK(graph.uses(1).size() == 1);
  const OperatorId layer = graph.uses(1).front().op;
  CHECK(graph.op(layer).name == "layer");
  // The residual connection uses the embedding last, so its gradient comes first and the layer's is added.
  CHECK(graph.contribution(layer, 0) == Write::accumulate);
  CHECK(graph.contribution(layer + 1, 0) == Write::overwrite);
}

TEST_CASE("a parameter name can be declared once") {
  Graph graph;
  graph.parameter("a", {1});
  CHECK_THROWS_WITH_AS(graph.parameter("a", {2}), doctest::Contains("a: expected a new parameter name"), ConfigError);
}

TEST_CASE("an operator's inputs and parameters have the shapes it expects") {
  Graph graph = small_graph();
  const ParameterId weight = graph.parameter("wide.weight", {8, 4}), vector = graph.parameter("vector", {4});
  const Linear wide{.rows = tokens, .in = 4, .out = 8};
  CHECK_THROWS_WITH_AS(graph.add(wide, "wide", {}, {weight}), "[wide] inputs: expected 1, got 0", ShapeError);
  CHECK_THROWS_WITH_AS(graph.add(wide, "wide", {99}, {weight}), "[wide] input 0: no such value", ShapeError);
  CHECK_THROWS_AS(graph.add(wide, "wide", {-1}, {weight}), ShapeError);
  CHECK_THROWS_WITH_AS(graph.add(wide, "wide", {0}, {}), "[wide] parameters: expected 1, got 0", ShapeError);
  CHECK_THROWS_WITH_AS(graph.add(wide, "wide", {0}, {vector}), "[wide] vector: expected shape (8, 4), got (4)",
                       ShapeError);
  CHECK_THROWS_WITH_AS(graph.add(Linear{.rows = tokens, .in = 5, .out = 8}, "wide", {0}, {weight}),
                       doctest::Contains("[wide] input 0: expected width 5"), ShapeError);
  CHECK_THROWS_WITH_AS(graph.add(Linear{.rows = Rows::labelled_tokens, .in = 4, .out = 8}, "wide", {0}, {weight}),
                       "[wide] input 0: expected width 4 and rows of labelled_tokens, got width 4 and rows of "
                       "decoder_tokens",
                       ShapeError);
}

TEST_CASE("a norm whose weight has no elements is refused") {
  Graph graph;
  graph.parameter("embed.weight", {10, 4});
  graph.parameter("norm.weight", {0});
  BlockBuilder<CostsAlone> b(graph);
  const ValueId x = b.embedding("embed", {.rows = tokens});
  CHECK_THROWS_WITH_AS(b.rms_norm("norm", x, 1e-6), doctest::Contains("[norm] weight: expected one with elements"),
                       ShapeError);
}

TEST_CASE("what only the whole shows: a loss at the end, every output and parameter used") {
  CHECK_THROWS_WITH_AS(Graph{}.finish(), doctest::Contains("expected the last operator to be a loss"), ConfigError);

  Graph unused = small_graph();
  unused.parameter("forgotten.weight", {4, 4});
  CHECK_THROWS_WITH_AS(unused.finish(),
                       doctest::Contains("forgotten.weight: expected a use of the parameter with a gradient, got none"),
                       ConfigError);

  Graph dangling;
  dangling.parameter("embed.weight", {10, 4});
  dangling.parameter("aside.weight", {4, 4});
  BlockBuilder<CostsAlone> b(dangling);
  const ValueId x = b.embedding("embed", {.rows = tokens});
  b.linear("aside", x);
  b.cross_entropy_head("head", b.gather_labelled("labelled_rows", x), "embed.weight");
  CHECK_THROWS_WITH_AS(dangling.finish(), doctest::Contains("aside: expected its output to reach the loss"),
                       ConfigError);
}
