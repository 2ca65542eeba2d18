#include "greentrainer/cost/price_table.hpp"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct Costs {};  // the operators' own
using Asked = std::map<std::pair<OperatorId, int>, int>;

/// Counts how often each price is asked for; -1 is the forward pass.
struct CountingCost {
  Asked* asked;

  static constexpr std::string_view unit() { return "FLOPs"; }
  LinearCost forward(const TensorGraph<Costs>& graph, OperatorId id) const {
    ++(*asked)[{id, -1}];
    return ExactCost<Costs>{}.forward(graph, id);
  }
  LinearCost part(const TensorGraph<Costs>& graph, OperatorId id, int part) const {
    ++(*asked)[{id, part}];
    return ExactCost<Costs>{}.part(graph, id, part);
  }
};

}  // namespace

TEST_CASE("a selection asks for each price once, and makes of the table what it makes of the cost model") {
  const auto folder = testing::source_folder() / "tests/golden/configs/opt-125m";
  const auto graph = Opt::read(ConfigReader::from_file(folder / "config.json")).graph<Costs>();
  const Workload workload = uniform_workload(4, 64, 16) * 10;
  std::vector<CutForecast> forecasts;
  for (const Cut& cut : narrow_cuts(graph)) forecasts.push_back({cut, uniform_workload(4, 64, 16)});
  REQUIRE(forecasts.size() > 10);
  std::vector<double> importance(graph.parameters().size(), 1.0);

  Asked asked;
  const BudgetedSelection chosen = select_within_ratio(
      graph, CountingCost{&asked}, workload, importance, 0.4,
      [](const SelectionProblem& p) { return ExactSelector{}.select(p); }, {.forecasts = forecasts});
  CHECK(chosen.selection.count() > 0);
  std::size_t prices = 0;
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id)
    prices += 1 + graph.op(id).op->parts().size();
  CHECK(asked.size() == prices);
  for (const auto& [price, times] : asked) CHECK(times == 1);

  const PriceTable<Costs, ExactCost<Costs>> table(graph, {});
  CHECK(evaluate(backward_cost(graph, chosen.selection, table), workload) == chosen.cost);
  CHECK(evaluate(backward_cost(graph, chosen.selection, ExactCost<Costs>{}), workload) == chosen.cost);
  CHECK(full_fine_tuning_cost(graph, table) == full_fine_tuning_cost(graph, ExactCost<Costs>{}));
}
