// Where some residual branches pass the identity, the exact selector is still exact, at the costs of real graphs.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/graph/residual_branches.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "some_items.hpp"
#include "support/paths.hpp"

using namespace greentrainer;
using greentrainer::testing::some_items;

namespace {

struct Costs {};  // the operators' own
using Graph = TensorGraph<Costs>;

Graph graph_of(const std::string& folder) {
  const auto path = testing::source_folder() / "tests/golden" / folder / "config.json";
  return KnownArchitectures::read(ConfigReader::from_file(path),
                                  [](const auto& architecture) { return architecture.template graph<Costs>(); });
}
Workload workload_for(const Graph& graph, Extent tokens) {
  return uniform_workload(4, tokens, tokens / 2, graph.has_rows(Rows::encoder_tokens) ? 3 * tokens : 0, graph.window());
}

/// Each branch passes the identity with this probability.
DetachedInputs random_branches(const Graph& graph, double share, CounterRandom& random) {
  DetachedInputs detached;
  for (const ResidualBranch& branch : residual_branches(graph)) {
    if (random.uniform() < share) detach(detached, branch);
  }
  return detached;
}

std::int64_t everything(const GradientDag& dag) { return cost_of(dag, std::vector<bool>(dag.items.size(), true)); }

}  // namespace

TEST_CASE("with given identity branches the exact selection equals exhaustive search on 10,000 small problems") {
  CounterRandom random(1, "identity branches");
  int chosen = 0, cheaper = 0;
  for (const char* model : {"models/opt-pre", "models/llama-gqa-tied", "models/bloom-post", "models/t5-tied-gated"}) {
    const std::string name = model;
    CAPTURE(name);
    const Graph graph = graph_of(name);
    const PriceTable<Costs, ExactCost<Costs>> prices(graph, ExactCost<Costs>{});
    const Workload workload = workload_for(graph, 6);
    const std::int64_t exact = everything(gradient_dag_of(graph, prices, workload));
    GradientDag whole;
    for (int k = 0; k < 2600; ++k) {
      CAPTURE(k);
      if (k % 10 == 0)
        whole = gradient_dag_of(graph, prices, workload, random_branches(graph, random.uniform(), random));
      cheaper += everything(whole) < exact ? 1 : 0;
      SelectionProblem problem{some_items(whole, 8, random), 0};
      REQUIRE(problem.dag.nodes.size() <= 64);
      problem.budget = static_cast<std::int64_t>(random.uniform() * static_cast<double>(everything(problem.dag)));
      const testing::ExhaustiveSelection all(problem.dag);
      const SelectionResult result = ExactSelector{.budget_steps = 500}.select(problem);
      REQUIRE(testing::fault(problem, all, result, true) == "");
      REQUIRE(result.optimal);
      chosen += static_cast<int>(std::count(result.mask.begin(), result.mask.end(), true));
    }
  }
  CHECK(chosen > 10000);
  CHECK(cheaper > 5000);
}

TEST_CASE("what selectors price with identity branches is what plans compute") {
  CounterRandom random(2, "identity branches");
  for (const char* model : {"models/opt-post", "models/llama-gqa-tied", "models/bloom", "models/t5-tied-relu",
                            "architectures/gpt_neox", "architectures/qwen2_moe", "architectures/gemma3"}) {
    const std::string name = model;
    CAPTURE(name);
    const Graph graph = graph_of(name);
    const Workload workload = workload_for(graph, 12);
    for (int k = 0; k < 150; ++k) {
      CAPTURE(k);
      const DetachedInputs detached = random_branches(graph, random.uniform(), random);
      const double density = random.uniform();
      const Selection some = select_where(graph, [&](const Parameter&) { return random.uniform() < density; });
      const GradientDag dag = gradient_dag_of(graph, ExactCost<Costs>{}, workload, detached);
      REQUIRE(cost_of(dag, some.mask()) ==
              evaluate(backward_cost(graph, Selection(some.mask(), detached), ExactCost<Costs>{}), workload));
    }
  }
}

TEST_CASE("large models: proved optimal within the budget of the exact full fine-tuning, in little time") {
  CounterRandom random(3, "identity branches");
  for (const char* model : {"configs/opt-2.7b", "configs/flan-t5-base"}) {
    const std::string name = model;
    CAPTURE(name);
    const Graph graph = graph_of(name);
    const Workload workload = workload_for(graph, 64);
    std::vector<double> importance(graph.parameters().size());
    for (double& i : importance) i = std::exp(1.5 * random.normal());
    const auto full = evaluate(full_fine_tuning_cost(graph, ExactCost<Costs>{}), workload);
    for (const double share : {1.0, 0.75, 0.25}) {
      CAPTURE(share);
      const DetachedInputs detached = random_branches(graph, share, random);
      const auto start = std::chrono::steady_clock::now();
      const BudgetedSelection chosen = select_within_ratio(
          graph, ExactCost<Costs>{}, workload, importance, 0.5,
          [](const SelectionProblem& p) { return ExactSelector{}.select(p); }, {.detached = detached});
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      CHECK(chosen.optimal);
      CHECK(chosen.full == full);
      CHECK(chosen.selection.detached() == detached);
      CHECK(chosen.cost <= chosen.budget);
      CHECK(chosen.cost == evaluate(backward_cost(graph, chosen.selection, ExactCost<Costs>{}), workload));
      CHECK(seconds < 10);
    }
  }
}
