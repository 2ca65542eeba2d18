// Residual branches are found in every architecture, and a plan leaves out what passes the identity.

#include "greentrainer/graph/residual_branches.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/detached_context.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

Graph graph_of(const std::string& folder, const GraphOptions& options = {}) {
  const auto path = testing::source_folder() / "tests/golden" / folder / "config.json";
  return KnownArchitectures::read(ConfigReader::from_file(path), [&](const auto& architecture) {
    return architecture.template graph<CostsAlone>(options);
  });
}

std::vector<std::string> names_of_branches(const Graph& graph) {
  std::vector<std::string> names;
  for (const ResidualBranch& branch : residual_branches(graph)) names.push_back(branch.name);
  return names;
}

/// The operators that a branch reads the stream with.
std::vector<std::string> readers(const Graph& graph, const ResidualBranch& branch) {
  std::vector<std::string> names;
  for (const auto& [op, input] : branch.entries) names.push_back(graph.op(op).name);
  return names;
}

LinearCost backward_of(const Graph& graph, const Selection& selection) {
  return backward_cost(graph, selection, ExactCost<CostsAlone>{});
}

}  // namespace

TEST_CASE("the branches of a block are its attentions and its feed-forward, in the order of the forward pass") {
  using Names = std::vector<std::string>;
  const Graph llama = graph_of("models/llama-gqa-tied");
  CHECK(names_of_branches(llama) == Names{"model.layers.0.attention_residual", "model.layers.0.mlp_residual",
                                          "model.layers.1.attention_residual", "model.layers.1.mlp_residual"});
  for (const ResidualBranch& branch : residual_branches(llama)) CHECK(branch.entries.size() == 1);  // its norm

  const Graph t5 = graph_of("models/t5-tied-gated");
  CHECK(names_of_branches(t5) == Names{"encoder.block.0.layer.0.residual", "encoder.block.0.layer.1.residual",
                                       "decoder.block.0.layer.0.residual", "decoder.block.0.layer.1.residual",
                                       "decoder.block.0.layer.2.residual"});
  CHECK(readers(t5, residual_branches(t5)[3]) == Names{"decoder.block.0.layer.1.layer_norm"});  // not the memory

  const Graph opt = graph_of("models/opt-post");  // norms behind the sums: projections read the stream
  const auto branches = residual_branches(opt);
  REQUIRE(branches.size() == 4);
  CHECK(readers(opt, branches[0]).size() == 3);
  CHECK(readers(opt, branches[1]) == Names{"model.decoder.layers.0.fc1"});
  CHECK(residual_branches(graph_of("models/bloom-post")).size() == 4);
}

TEST_CASE("adapters, dropout and a detached context leave the branches as they are") {
  for (const char* model : {"models/llama-gqa-tied", "models/opt-post", "models/bloom", "models/t5-tied-relu"}) {
    CAPTURE(model);
    const GraphOptions lora{.lora = LoraOptions{.rank = 2, .dropout = 0.1, .targets = {"*"}}, .dropout = 0.1};
    CHECK(names_of_branches(graph_of(model, lora)) == names_of_branches(graph_of(model)));
  }
  for (const char* model : {"models/llama-gqa-tied", "models/opt-post", "models/bloom", "models/bloom-post"}) {
    CAPTURE(model);
    CHECK(names_of_branches(with_detached_context(graph_of(model))) == names_of_branches(graph_of(model)));
  }
}

TEST_CASE("a parallel block with one norm is one branch; with two, its feed-forward cannot be detached") {
  for (const char* model : {"gptj", "phi", "gpt_neox"}) {
    CAPTURE(model);
    const std::string folder = std::string("architectures/") + model;
    const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden" / folder / "config.json");
    const std::size_t layers =
        KnownArchitectures::read(config, [](const auto& a) { return static_cast<std::size_t>(a.layers()); });
    const auto names = names_of_branches(graph_of(folder));
    CHECK(names.size() == layers);
    for (const std::string& name : names) CHECK(name.ends_with("attention_residual"));
  }
}

TEST_CASE("every known model has branches; with all of them detached everything is trained for fewer FLOPs") {
  std::size_t models = 0;
  for (const char* where : {"models", "architectures"}) {
    for (const auto& entry : std::filesystem::directory_iterator(testing::source_folder() / "tests/golden" / where)) {
      if (!std::filesystem::exists(entry.path() / "config.json")) continue;
      const std::string name = std::string(where) + "/" + entry.path().filename().string();
      CAPTURE(name);
      const Graph graph = graph_of(name);
      DetachedInputs all;
      for (const ResidualBranch& branch : residual_branches(graph)) detach(all, branch);
      CHECK_FALSE(all.empty());
      const Selection everything = select_all(graph), approximate(everything.mask(), all);
      const bool seq2seq = graph.has_rows(Rows::encoder_tokens);
      const Workload workload = uniform_workload(2, 16, 8, seq2seq ? 16 : 0, graph.window());
      const PassPlan plan = training_plan(graph, approximate);
      CHECK(plan.value_has_grad == training_plan(graph, everything).value_has_grad);
      CHECK(evaluate(backward_of(graph, approximate), workload) < evaluate(backward_of(graph, everything), workload));
      ++models;
    }
  }
  CHECK(models > 50);
}

TEST_CASE("below a branch that passes the identity, a deep tensor costs no gradient of that branch") {
  const Graph graph = graph_of("models/llama-gqa-tied");
  const Selection deepest = select_listed(graph, {"model.layers.0.input_layernorm.weight"});
  DetachedInputs above;
  const auto branches = residual_branches(graph);
  for (std::size_t b = 1; b < branches.size(); ++b) detach(above, branches[b]);
  const PassPlan plan = training_plan(graph, Selection(deepest.mask(), above));
  for (const auto& step : plan.steps) {
    if (!step.is_backward()) continue;
    const std::string& name = graph.op(step.op).name;
    CAPTURE(name);
    const bool on_the_way =
        name.find("residual") != std::string::npos || name.find("labelled_rows") != std::string::npos;
    CHECK((on_the_way || name.starts_with("model.layers.0.self_attn") || name.starts_with("model.layers.0.input") ||
           name == "model.norm" || graph.op(step.op).op->is_loss()));
  }
}

TEST_CASE("an input whose gradient others are added to cannot be detached") {
  const Graph graph = graph_of("models/llama-gqa-tied");
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    if (graph.op(id).name != "model.layers.0.mlp_residual") continue;
    DetachedInputs detached;
    detached.insert(id, 0);
    CHECK(detached.contains(id, 0));
    CHECK_FALSE(detached.contains(id, 1));
    CHECK_THROWS_WITH_AS(training_plan(graph, Selection(select_all(graph).mask(), detached)),
                         doctest::Contains("read again later"), ConfigError);
    return;
  }
  FAIL("expected the operator");
}
