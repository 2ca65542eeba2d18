#include "greentrainer/select/selection_diagram.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gradient_dags.hpp"
#include "greentrainer/select/reduced_problem.hpp"

namespace gt = greentrainer;
namespace gtd = greentrainer::select_detail;
namespace gtt = greentrainer::testing;

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// Everything worth something, and everything affordable.
gtd::ReducedProblem reduced(gt::GradientDag dag) {
  for (auto& item : dag.items) item.importance = 1;
  const std::int64_t total = gtt::total_cost(dag);
  return gtd::reduce({std::move(dag), total});
}

std::size_t vertices(const gtd::ReducedProblem& problem) {
  const auto diagram =
      gtd::SelectionDiagram::build(problem, gtd::backward_order(problem, true), 1, unlimited, unlimited);
  return diagram ? diagram->vertices.size() : 0;
}

gtd::ReducedProblem chain(int length) {
  gt::GradientDag dag;
  for (int k = 0; k < length; ++k) {
    const std::vector<int> above = k == 0 ? std::vector<int>{} : std::vector<int>{k - 1};
    dag.items.push_back({1, 1.0, above});
    dag.nodes.push_back({1, above});
  }
  return reduced(dag);
}

gtd::ReducedProblem decoder(int layers, gtt::NormStyle style) {
  gtt::RealDagBuilder builder(1);
  gtt::add_decoder(builder, {}, layers, style);
  return reduced(builder.dag);
}

gtd::ReducedProblem encoder_decoder(int layers) {
  gtt::RealDagBuilder builder(1);
  gtt::add_encoder_decoder(builder, {}, layers, layers, gtt::NormStyle::pre, true);
  return reduced(builder.dag);
}

}  // namespace

TEST_CASE("nodes with the same items behind them become one class") {
  gt::GradientDag dag;
  // 0 -> 1 without an item between; 2, 3, 4 siblings that only node 5 uses; 6 leads nowhere; 7 costs nothing.
  dag.nodes = {{1, {}}, {2, {0}}, {4, {1}}, {8, {1}}, {16, {1}}, {32, {2, 3, 4}}, {64, {5}}, {0, {5}}};
  dag.items = {{1, 1.0, {1}}, {1, 1.0, {7}}, {1, 1.0, {7}}, {1, -1.0, {6}}};
  const gtd::ReducedProblem problem = gtd::reduce({dag, 1000});
  REQUIRE(problem.classes.size() == 2);
  CHECK(problem.classes[0].cost == 1 + 2);
  CHECK(problem.classes[1].cost == 4 + 8 + 16 + 32);
  REQUIRE(problem.groups.size() == 2);
  CHECK(problem.groups[1].items.size() == 2);
  CHECK(problem.groups[1].class_cost == 63);
  CHECK(gtd::reduce({dag, 10}).groups.size() == 1);  // what no budget reaches is gone
}

TEST_CASE("a chain has one vertex a class, so that selection is the walk with one knapsack array") {
  CHECK(vertices(chain(2)) == 2);
  CHECK(vertices(chain(100)) == 100);
  const auto problem = chain(100);
  const auto diagram = gtd::SelectionDiagram::build(problem, gtd::backward_order(problem, true), 1, unlimited, 1);
  REQUIRE(diagram);
  CHECK(std::all_of(diagram->vertices.begin(), diagram->vertices.end(),
                    [](const auto& vertex) { return vertex.edges.size() <= 1 && vertex.ends; }));
}

TEST_CASE("diagrams grow linearly with the number of layers, for every architecture: stages are found") {
  for (const gtt::NormStyle style : {gtt::NormStyle::pre, gtt::NormStyle::post}) {
    const std::size_t four = vertices(decoder(4, style));
    const std::size_t eight = vertices(decoder(8, style));
    const std::size_t twelve = vertices(decoder(12, style));
    CHECK(four > 0);
    CHECK(twelve - eight == eight - four);
    CHECK(eight - four < 4 * 30);
  }
  const std::size_t four = vertices(encoder_decoder(4));
  const std::size_t eight = vertices(encoder_decoder(8));
  const std::size_t twelve = vertices(encoder_decoder(12));
  CHECK(four > 0);
  CHECK(twelve - eight == eight - four);
  CHECK(eight - four < 4 * 120);
}

TEST_CASE("a diagram that would be too large is not built") {
  const auto problem = encoder_decoder(4);
  const auto order = gtd::backward_order(problem, true);
  CHECK_FALSE(gtd::SelectionDiagram::build(problem, order, 1, 100, unlimited));
  CHECK_FALSE(gtd::SelectionDiagram::build(problem, order, 1, unlimited, 1));
}
