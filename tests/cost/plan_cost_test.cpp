#include "greentrainer/cost/plan_cost.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "support/golden_graphs.hpp"
#include "support/paths.hpp"
#include "support/skip.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

/// Seconds of the processor to make a model's graph and price all that `plan` shows of it.
double seconds_to_plan(int layers) {
  Json config = read_json_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json");
  config["num_hidden_layers"] = layers;
  double least = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition < 3; ++repetition) {
    const std::clock_t start = std::clock();
    KnownArchitectures::read(ConfigReader(config, "deep"), [&](const auto& architecture) {
      const Graph graph = architecture.template graph<CostsAlone>();
      const Workload workload = uniform_workload(4, 512, 512);
      const ExactCost<CostsAlone> cost;
      CHECK(cheapest_item(gradient_dag_of(graph, cost, workload)) > 0);
      CHECK(evaluate(full_fine_tuning_cost(graph, cost), workload) > 0);
      CHECK(training_memory(graph, select_all(graph), workload, 4, 8).total() > 0);
      return 0;
    });
    least = std::min(least, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return least;
}

}  // namespace

TEST_CASE("the cheapest parameter costs what the least of all single selections does") {
  for (const Graph& graph : testing::golden_graphs<CostsAlone>()) {
    for (const Workload& workload :
         {uniform_workload(4, 512, 512, 0, graph.window()), uniform_workload(2, 7, 1, 30, graph.window())}) {
      const ExactCost<CostsAlone> cost;
      std::int64_t least = std::numeric_limits<std::int64_t>::max();
      for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
        Selection one = select_none(graph);
        one.insert(id);
        least = std::min(least, evaluate(backward_cost(graph, one, cost), workload));
      }
      CHECK(cheapest_item(gradient_dag_of(graph, cost, workload)) == least);
    }
  }
}

TEST_CASE("four times the layers take less than seven times as long to plan") {
#if !defined(__OPTIMIZE__)
  GREENTRAINER_SKIP("built without optimisation: times mean nothing");
#else
  const double few = seconds_to_plan(512), many = seconds_to_plan(2048);
  CAPTURE(few);
  CAPTURE(many);
  CHECK(many < 7 * few);  // 16 times where each layer looks at all others
#endif
}
