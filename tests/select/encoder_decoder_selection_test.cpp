// Selection on T5's own gradient graph: encoder behind every cross-attention, embedding in both stacks, relative
// positions shared by the blocks of each.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/t5.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "some_items.hpp"
#include "support/paths.hpp"

using namespace greentrainer;
using greentrainer::testing::some_items;

namespace {

struct Costs {};  // the operators' own

GradientDag dag_of(const std::string& config, const Workload& workload) {
  const auto folder = testing::source_folder() / "tests/golden" / config;
  const auto graph = T5::read(ConfigReader::from_file(folder / "config.json")).graph<Costs>();
  return gradient_dag_of(graph, ExactCost<Costs>{}, workload);
}

std::int64_t everything(const GradientDag& dag) { return cost_of(dag, std::vector<bool>(dag.items.size(), true)); }

}  // namespace

TEST_CASE("on a small T5 the exact selection is the best of all") {
  const GradientDag whole = dag_of("models/t5-tied-gated", uniform_workload(4, 6, 6, 20));
  CounterRandom random(1, "items");
  int chosen = 0;
  for (int k = 0; k < 300; ++k) {
    CAPTURE(k);
    SelectionProblem problem{some_items(whole, 12, random), 0};
    REQUIRE(problem.dag.nodes.size() <= 64);
    problem.budget = static_cast<std::int64_t>(random.uniform() * static_cast<double>(everything(problem.dag)));
    const testing::ExhaustiveSelection all(problem.dag);
    const SelectionResult result = ExactSelector{}.select(problem);
    REQUIRE(testing::fault(problem, all, result, true) == "");
    REQUIRE(result.optimal);
    chosen += static_cast<int>(std::count(result.mask.begin(), result.mask.end(), true));
  }
  CHECK(chosen > 300);
}

TEST_CASE("FLAN-T5: proved optimal at the costs as given, the budget kept and spent, in little time") {
  for (const std::string config : {"configs/flan-t5-base", "configs/flan-t5-xl"}) {
    CAPTURE(config);
    SelectionProblem problem{dag_of(config, uniform_workload(4, 64, 64, 512)), 0};
    CounterRandom random(2, "importance");
    for (auto& item : problem.dag.items)
      item.importance = std::exp(1.5 * random.normal()) * (random.uniform() < 0.1 ? -1 : 1);
    for (const double share : {0.1, 0.25, 0.5, 0.75, 0.9}) {
      CAPTURE(share);
      problem.budget = static_cast<std::int64_t>(share * static_cast<double>(everything(problem.dag)));
      const auto start = std::chrono::steady_clock::now();
      const SelectionResult result = ExactSelector{}.select(problem);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      CHECK(result.optimal);
      CHECK(result.cost == cost_of(problem.dag, result.mask));
      CHECK(result.cost <= problem.budget);
      std::vector<bool> wanted(result.mask.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = problem.dag.items[i].importance > 0;
      const std::int64_t could_be_spent = std::min(problem.budget, cost_of(problem.dag, wanted));
      CHECK(static_cast<double>(result.cost) >= 0.97 * static_cast<double>(could_be_spent));
      CHECK(result.importance >= ImportancePerFlopSelector{}.select(problem).importance);
      CHECK(seconds < 10);  // a fraction of a second where it is built for speed
    }
  }
}
