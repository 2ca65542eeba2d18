// What selection is told of the gradients that tensors need: the graph, the paper's chain, nothing; and what each costs
// in truth.

#include "greentrainer/select/dependencies.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct Costs {};  // the operators' own

struct TinyLlama {
  TensorGraph<Costs> graph =
      Llama::read(ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json"))
          .graph<Costs>();
  Workload workload = uniform_workload(4, 64, 16);
  SelectionProblem problem{gradient_dag_of(graph, ExactCost<Costs>{}, workload), 0};

  std::size_t parameter(const std::string& name) const { return static_cast<std::size_t>(*graph.find(name)); }
  /// Price of an operator's activation gradients.
  std::int64_t grad_input(const std::string& name) const {
    std::int64_t sum = 0;
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
      if (graph.op(id).name != name) continue;
      const auto& parts = graph.op(id).op->parts();
      for (std::size_t p = 0; p < parts.size(); ++p) {
        if (parts[p].kind != GradPart::Kind::parameter)
          sum += evaluate(ExactCost<Costs>{}.part(graph, id, static_cast<int>(p)), workload);
      }
    }
    return sum;
  }
};

std::int64_t node_costs(const GradientDag& dag) {
  std::int64_t sum = 0;
  for (const auto& node : dag.nodes) sum += node.cost;
  return sum;
}

}  // namespace

TEST_CASE("a chain has the graph's prices, each with the tensor that the paper has it with") {
  const TinyLlama llama;
  const SelectionProblem chain = with_chain_dependencies(llama.graph, llama.problem);
  const std::size_t count = llama.graph.parameters().size();
  REQUIRE(chain.dag.nodes.size() == count);
  CHECK(node_costs(chain.dag) == node_costs(llama.problem.dag));
  const auto node = [&](const std::string& name) { return chain.dag.nodes[count - 1 - llama.parameter(name)].cost; };
  const std::string layer = "model.layers.1.";
  CHECK(llama.grad_input(layer + "self_attn") > 0);
  CHECK(node(layer + "self_attn.v_proj.weight") ==
        llama.grad_input(layer + "self_attn.v_proj") + llama.grad_input(layer + "self_attn"));
  CHECK(node(layer + "self_attn.q_proj.weight") ==
        llama.grad_input(layer + "self_attn.q_proj") + llama.grad_input(layer + "self_attn.q_rotary"));
  CHECK(node("model.embed_tokens.weight") == 0);
  CHECK(node("model.norm.weight") > llama.grad_input("model.norm"));  // and the tied output head
  for (std::size_t i = 0; i < count; ++i) {
    CHECK(chain.dag.items[i].cost == llama.problem.dag.items[i].cost);
    const auto& needs = chain.dag.items[i].needs;
    CHECK(needs == (i + 1 == count ? std::vector<int>{} : std::vector<int>{static_cast<int>(count - i) - 2}));
  }
}

TEST_CASE("whoever knows less of the graph spends more than the budget, or leaves more of it") {
  const TinyLlama llama;
  const std::int64_t everything = cost_of(llama.problem.dag, std::vector<bool>(llama.problem.dag.items.size(), true));
  int overspent_without = 0, other_than_graph = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SelectionProblem problem = llama.problem;
    CounterRandom random(seed, "importance");
    for (auto& item : problem.dag.items) item.importance = random.uniform();
    problem.budget = everything / 10 * static_cast<std::int64_t>(3 + seed % 5);
    const SelectionResult graph = ExactSelector{}.select(problem);
    const SelectionResult chain = ExactSelector{}.select(with_chain_dependencies(llama.graph, problem));
    const SelectionResult none = ExactSelector{}.select(without_dependencies(problem));
    CHECK(graph.cost <= problem.budget);
    CHECK(none.importance >= graph.importance);  // it believes that it may have more
    if (cost_of(problem.dag, chain.mask) <= problem.budget) CHECK(chain.importance <= graph.importance + 1e-12);
    overspent_without += cost_of(problem.dag, none.mask) > problem.budget ? 1 : 0;
    other_than_graph += chain.mask != graph.mask ? 1 : 0;
  }
  CHECK(overspent_without > 20);
  CHECK(other_than_graph > 20);
}
