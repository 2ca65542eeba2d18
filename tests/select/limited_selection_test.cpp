// Selections within a FLOPs ratio and a memory limit keep both, and are those of the ratio alone where there is room.

#include "greentrainer/select/limited_selection.hpp"

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "support/golden_graphs.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;
using Limit = MemoryLimit<CostsAlone>;

std::vector<double> random_importance(const Graph& graph, std::uint64_t seed) {
  CounterRandom random(seed, "importance");
  std::vector<double> importance;
  for (std::size_t i = 0; i < graph.parameters().size(); ++i) importance.push_back(std::exp(1.5 * random.normal()));
  return importance;
}

struct Setting {
  const Graph& graph;
  Workload workload = uniform_workload(4, 24, 24, 20, graph.window());
  ExactCost<CostsAlone> cost = {};
  std::vector<ParameterPair> pairs = {};
  int selections = 0;

  BudgetedSelection choose(const std::vector<double>& importance, double ratio) {
    ++selections;
    const auto select = [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
    return select_within_ratio(graph, cost, workload, importance, ratio, select, {.pairs = pairs});
  }
  Limit memory(Bytes limit) const {
    return Limit(graph, {.limit = limit, .updates = 8, .largest = workload, .evaluated = {}});
  }
  LimitedSelection<CostsAlone> limited(const Limit& memory, const std::vector<double>& importance, double ratio,
                                       Bytes held_limit) {
    return select_within_memory(
        graph, memory, importance, ratio,
        [&](const std::vector<double>& worth, double within, bool) { return choose(worth, within); },
        [&](const Limit::Pass& pass) { return evaluate(pass_cost(graph, pass.plan, cost).recomputed, workload); },
        [&](const Selection& selection, const std::optional<Cut>&) {
          return std::max<Bytes>(0, parameter_bytes(graph, selection, 8) - held_limit);
        },
        pairs);
  }
};

}  // namespace

TEST_CASE("random limits and ratios: memory and FLOPs are kept, and the search ends") {
  std::size_t trained = 0, recomputed = 0, most_selections = 0;
  for (const Graph& graph : testing::golden_graphs<CostsAlone>()) {
    Setting setting{graph};
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      CAPTURE(seed);
      const double ratio = 0.5 + 0.04 * static_cast<double>(seed);
      const auto importance = random_importance(graph, seed);
      const Limit unlimited = setting.memory(0);
      const BudgetedSelection free = setting.choose(importance, ratio);
      const Bytes most = unlimited.training(free.selection, {}).memory.total();
      const Bytes least = unlimited.plain_training(select_none(graph)).total();
      CounterRandom random(seed, "limit");
      const Bytes limit = least + static_cast<Bytes>(random.uniform() * static_cast<double>(most - least));
      const Bytes held_limit = seed % 4 == 0 ? parameter_bytes(graph, free.selection, 4) : most;
      const Limit memory = setting.memory(limit);
      setting.selections = 0;
      const auto result = setting.limited(memory, importance, ratio, held_limit);
      const Selection& selection = result.chosen.selection;
      CHECK(result.pass.memory.total() <= limit);
      CHECK(parameter_bytes(graph, selection, 8) <= held_limit);
      CHECK(result.chosen.cost + result.recomputed <= result.chosen.budget);
      const PassCost pass = pass_cost(graph, result.pass.plan, setting.cost);
      CHECK(evaluate(pass.recomputed, setting.workload) == result.recomputed);
      CHECK(evaluate(pass.backward, setting.workload) == result.chosen.cost);
      CHECK(static_cast<double>(evaluate(pass.total(), setting.workload)) <=
            ratio * static_cast<double>(result.chosen.full));
      trained += selection.count() > 0 ? 1 : 0;
      recomputed += result.recomputed > 0 ? 1 : 0;
      most_selections = std::max(most_selections, static_cast<std::size_t>(setting.selections));
    }
  }
  CHECK(trained >= 100);
  CHECK(recomputed >= 10);
  CHECK(most_selections <= 60);
}

TEST_CASE("of a pair both are chosen or none, however little room there is, and the search ends") {
  std::size_t pairs_chosen = 0, trained = 0, runs = 0;
  const auto graphs = testing::golden_graphs<CostsAlone>();
  for (std::size_t g = 0; g < std::min<std::size_t>(4, graphs.size()); ++g) {
    const Graph& graph = graphs[g];
    Setting setting{graph};
    for (ParameterId id = 0; id + 1 < static_cast<ParameterId>(graph.parameters().size()); id += 3)
      setting.pairs.emplace_back(id, id + 1);  // of a layer, and of two
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      CAPTURE(seed);
      const auto importance = random_importance(graph, seed);
      const BudgetedSelection free = setting.choose(importance, 0.7);
      const Bytes most = setting.memory(0).training(free.selection, {}).memory.total();
      const Bytes least = setting.memory(0).plain_training(select_none(graph)).total();
      const Bytes limit = least + (most - least) * static_cast<Bytes>(seed + 1) / 5;
      setting.selections = 0;
      const auto result = setting.limited(setting.memory(limit), importance, 0.7,
                                          seed % 2 == 0 ? parameter_bytes(graph, free.selection, 4) : most);
      const Selection& selection = result.chosen.selection;
      CHECK(result.pass.memory.total() <= limit);
      CHECK(result.chosen.cost + result.recomputed <= result.chosen.budget);
      CHECK(setting.selections <= 60);
      for (const auto& [one, other] : setting.pairs) {
        CHECK(selection.contains(one) == selection.contains(other));
        pairs_chosen += selection.contains(one) ? 1 : 0;
      }
      trained += selection.count() > 0 ? 1 : 0;
      ++runs;
    }
  }
  CHECK(pairs_chosen > 0);
  CHECK(2 * trained > runs);
}

TEST_CASE("with room for everything the selection is that of the ratio alone, in one round") {
  for (const Graph& graph : testing::golden_graphs<CostsAlone>()) {
    Setting setting{graph};
    const auto importance = random_importance(graph, 1);
    const BudgetedSelection free = setting.choose(importance, 0.7);
    const Limit memory = setting.memory(setting.memory(0).training(free.selection, {}).memory.total());
    setting.selections = 0;
    const auto result = setting.limited(memory, importance, 0.7, Bytes{1} << 40);
    CHECK(result.chosen.selection.mask() == free.selection.mask());
    CHECK(result.chosen.budget == free.budget);
    CHECK(result.recomputed == 0);
    CHECK(setting.selections == 2);  // what the ratio comes to, and the selection
  }
}
