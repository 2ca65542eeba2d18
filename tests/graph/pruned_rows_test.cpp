// Rows that nobody reads are found from the graph, and are not computed.

#include "greentrainer/graph/pruned_rows.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "support/golden_graphs.hpp"
#include "support/model_variants.hpp"
#include "support/whole_rows.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

Graph graph_of(const testing::ModelVariant& variant) {
  const auto folder = testing::source_folder() / "tests/golden/models" / variant.model;
  return KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"), [&](const auto& architecture) {
    return architecture.template graph<CostsAlone>(variant.options);
  });
}

/// The operators that compute labelled rows alone.
std::vector<std::string> labelled_operators(const Graph& graph) {
  std::vector<std::string> names;
  for (const auto& node : graph.operators()) {
    if (!node.outputs.empty() && graph.value(node.outputs.front()).shape.rows == Rows::labelled_tokens)
      names.push_back(node.name);
  }
  return names;
}

/// Whether a row of a value that is not labelled can reach the loss, by following all its uses: in a graph with whole
/// rows, where attention's keys and values are the only way from one row to another.
class Reach {
 public:
  explicit Reach(const Graph& whole) : whole_(whole), known_(whole.values().size(), -1) {}

  bool of(ValueId v) {
    int& known = known_[static_cast<std::size_t>(v)];
    if (known >= 0) return known == 1;
    bool reaches = false;
    for (const auto& [id, input] : whole_.value(v).uses) {
      const auto& node = whole_.op(id);
      if (node.op->kind() == GatherLabelled::kind) continue;
      const bool from_row_to_row =
          node.op->kind() == FusedAttention::kind || (node.op->kind() == Attention::kind && input > 0);
      if (from_row_to_row || of(node.outputs.front())) reaches = true;
      for (const ValueId output : node.outputs) reaches = reaches || of(output);
    }
    known = reaches ? 1 : 0;
    return reaches;
  }

 private:
  const Graph& whole_;
  std::vector<int> known_;
};

}  // namespace

TEST_CASE("an operator works on labelled rows if, and only if, no other row of its outputs can reach the loss") {
  std::size_t pruned = 0;
  for (const auto& variant : testing::model_variants()) {
    CAPTURE(variant.model);
    const Graph graph = graph_of(variant), whole = testing::with_whole_rows(graph);
    Reach reach(whole);
    std::set<std::string> expected;
    for (const auto& node : whole.operators()) {
      if (node.outputs.empty() || whole.value(node.outputs.front()).shape.rows != Rows::decoder_tokens) continue;
      if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return reach.of(v); }))
        expected.insert(node.name);
    }
    std::set<std::string> got;
    for (const std::string& name : labelled_operators(graph)) {
      if (!name.ends_with(".labelled_rows")) got.insert(name);
    }
    CHECK(got == expected);
    pruned += got.size();
  }
  CHECK(pruned > 100);
}

TEST_CASE("of Llama's last block, all but the first norm, keys and values; in front of them nothing") {
  const std::string last = "model.layers.1.";
  CHECK(labelled_operators(graph_of({"llama-gqa-tied"})) ==
        std::vector<std::string>{last + "input_layernorm.labelled_rows", last + "self_attn.q_proj",
                                 last + "self_attn.q_rotary", last + "self_attn", last + "self_attn.o_proj",
                                 "model.layers.0.mlp_residual.labelled_rows", last + "attention_residual",
                                 last + "post_attention_layernorm", last + "mlp.gate_proj", last + "mlp.up_proj",
                                 last + "mlp.act_fn", last + "mlp.down_proj", last + "mlp_residual", "model.norm"});
}

TEST_CASE("a pruned graph has the parameters of the whole one, and costs no more for any batch and any selection") {
  const ExactCost<CostsAlone> cost;
  for (const auto& variant : testing::model_variants()) {
    CAPTURE(variant.model);
    const Graph graph = graph_of(variant), whole = testing::with_whole_rows(graph);
    REQUIRE(graph.parameters().size() == whole.parameters().size());
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      CounterRandom random(seed, "selection");
      const Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < 0.2; });
      const PassCost ours = pass_cost(graph, training_plan(graph, selection), cost),
                     other = pass_cost(whole, training_plan(whole, selection), cost);
      for (const Extent labelled : {0, 1, 5, 16}) {
        const Workload workload = uniform_workload(3, 16, labelled, 9, graph.window());
        CAPTURE(labelled);
        REQUIRE(evaluate(ours.forward, workload) <= evaluate(other.forward, workload));
        REQUIRE(evaluate(ours.backward, workload) <= evaluate(other.backward, workload));
        if (labelled == 16) REQUIRE(evaluate(ours.forward, workload) == evaluate(other.forward, workload));
      }
    }
  }
}

TEST_CASE("a block without attention is pruned from the embedding on, and a graph with nothing to prune stays") {
  Graph graph;
  graph.parameter("embed.weight", {10, 4});
  graph.parameter("layer.weight", {4, 4});
  BlockBuilder<CostsAlone> b(graph);
  ValueId x = b.embedding("embed", {.rows = Rows::decoder_tokens});
  x = b.add("residual", x, b.linear("layer", x));
  b.cross_entropy_head("head", b.gather_labelled("labelled_rows", x), "embed.weight");
  b.finish();
  CHECK(labelled_operators(graph) == std::vector<std::string>{"embed", "layer", "residual"});
  CHECK(graph.operators().size() == 4);

  const Graph again = with_pruned_rows(graph);
  REQUIRE(again.operators().size() == graph.operators().size());
  for (std::size_t i = 0; i < graph.operators().size(); ++i) {
    CHECK(again.operators()[i].name == graph.operators()[i].name);
    CHECK(again.operators()[i].inputs == graph.operators()[i].inputs);
  }
}
