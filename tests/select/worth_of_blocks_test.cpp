// Blocks are a model's transformer blocks, and selectors get problems with the worth that is asked for.

#include "greentrainer/select/worth_of_blocks.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};

/// Calls use(graph, prefixes of the layers' names) with a tiny model's.
template <class Use>
void with_model(const std::string& name, const Use& use) {
  const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden/models" / name / "config.json");
  KnownArchitectures::read(config, [&](const auto& architecture) {
    use(architecture.template graph<CostsAlone>(), facts_of(architecture).layer_prefixes);
    return 0;
  });
}

}  // namespace

TEST_CASE("a tensor is of the transformer block that its name says; shared tensors and all others are by themselves") {
  for (const char* name : {"llama-gqa-tied", "opt-pre", "t5-tied-relu"}) {
    CAPTURE(name);
    with_model(name, [](const auto& graph, const std::vector<std::string>& prefixes) {
      const std::vector<int> blocks = blocks_of(graph, prefixes);
      std::vector<int> members(prefixes.size(), 0);
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const std::string& tensor = graph.parameters()[i].name;
        CAPTURE(tensor);
        const bool shared = tensor.find("relative_attention_bias") != std::string::npos ||
                            tensor.find("embed_tokens") != std::string::npos || tensor == "shared.weight";
        if (shared) CHECK(blocks[i] == -1);
        if (blocks[i] < 0) continue;
        CHECK(tensor.starts_with(prefixes[static_cast<std::size_t>(blocks[i])]));
        ++members[static_cast<std::size_t>(blocks[i])];
      }
      for (const int count : members) CHECK(count >= 8);
    });
  }
}

TEST_CASE("a choice by any worth keeps the ratio and is proved, and its selector sees blocks where worth is concave") {
  with_model("llama-gqa-tied", [](const auto& graph, const std::vector<std::string>& prefixes) {
    const Workload workload = uniform_workload(4, 24, 24);
    const ExactCost<CostsAlone> cost;
    CounterRandom random(1, "importance");
    std::vector<double> importance;
    for (std::size_t i = 0; i < graph.parameters().size(); ++i) importance.push_back(1 - random.uniform());
    std::vector<GradientDag> seen;
    const SelectFunction select = [&](const SelectionProblem& problem) {
      seen.push_back(problem.dag);
      return ExactSelector{}.select(problem);
    };
    for (const Worth::Form form : {Worth::Form::additive, Worth::Form::square_root, Worth::Form::saturating}) {
      const BudgetedSelection chosen =
          select_within_ratio(graph, cost, workload, importance, 0.7, with_worth(graph, prefixes, form, select));
      CHECK(chosen.optimal);
      CHECK(chosen.ratio() <= 0.7);
      CHECK(chosen.ratio() > 0.6);
      CHECK(seen.back().worth.form == form);
      for (std::size_t i = 0; i < seen.back().items.size(); ++i)
        CHECK(seen.back().items[i].block == (form == Worth::Form::additive ? -1 : blocks_of(graph, prefixes)[i]));
    }
  });
}

TEST_CASE("the usual scale of saturating worth is what blocks have in importance, on average") {
  GradientDag dag;
  dag.items = {{1, 2.0, {}}, {1, 4.0, {}}, {1, -5.0, {}}, {1, 3.0, {}}, {1, 9.0, {}}};
  CHECK(usual_worth_scale(dag) == doctest::Approx(18.0 / 4));  // each by itself
  dag.items[0].block = dag.items[1].block = dag.items[2].block = 7;
  CHECK(usual_worth_scale(dag) == doctest::Approx(18.0 / 3));
  dag.items[4].frozen = true;
  CHECK(usual_worth_scale(dag) == doctest::Approx(9.0 / 2));
  CHECK(usual_worth_scale({}) == 1);
}
