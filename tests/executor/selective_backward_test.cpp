// What a selection trains is exactly what full backward would have given it; what it costs and keeps is exactly what
// the plan says.

#include <cstring>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "support/model_variants.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

using Counting = CountingBackend<EigenBackend<float>>;
using Bits = std::vector<std::vector<float>>;

/// Bytes of forward values that the plan's steps read, and of what the loss reads: from the steps alone, not from
/// lifetimes.
Bytes kept_by_plan(const TensorGraph<Counting>& graph, const PassPlan& plan, const Workload& workload) {
  std::vector<bool> kept(graph.values().size(), false);
  for (const ValueId v : graph.operators().back().inputs) kept[static_cast<std::size_t>(v)] = true;
  for (const auto& step : plan.steps) {
    if (!step.is_backward()) continue;
    const auto& op = graph.op(step.op);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (((step.inputs >> i) & 1U) != 0) kept[static_cast<std::size_t>(op.inputs[i])] = true;
    }
    for (std::size_t o = 0; o < op.outputs.size(); ++o) {
      if (((step.outputs >> o) & 1U) != 0) kept[static_cast<std::size_t>(op.outputs[o])] = true;
    }
  }
  Bytes total = 0;
  for (std::size_t v = 0; v < kept.size(); ++v) {
    const auto& shape = graph.values()[v].shape;
    if (kept[v]) total += shape.cols * shape.row_count(workload) * static_cast<Bytes>(sizeof(float));
  }
  return total;
}

/// What running a schedule showed.
struct Run {
  Bits gradients;  ///< by parameter; empty for those not selected
  Flops flops = 0;
  Bytes kept = 0;
};

/// A model, a batch, and the gradients of full backward to compare with.
class Fixture {
 public:
  Fixture(Counting& backend, TensorGraph<Counting> graph, ModelFacts facts, Batch batch)
      : backend_(backend),
        model_(backend, std::move(graph), std::move(facts)),
        batch_(std::move(batch)),
        workload_(workload_of(batch_)) {
    testing::randomize(model_, 7);
    model_.executor().poison_dead_memory(true);
    full_ = run(make_schedule(model_.graph(), select_all(model_.graph())), select_all(model_.graph()));
  }

  const TensorGraph<Counting>& graph() const { return model_.graph(); }
  const Workload& workload() const { return workload_; }
  const Run& full() const { return full_; }

  Run run(const Schedule& schedule, const Selection& selection) {
    GradientStore<Counting> gradients(backend_);
    gradients.select(graph(), select_all(graph()));  // so that a planted extra product has somewhere to go
    gradients.zero();
    backend_.reset();
    const DropoutSeed dropout{.seed = 5, .pass = 3};
    model_.executor().run(
        schedule, batch_,
        {.gradient_scale = 1.0 / static_cast<double>(batch_.labelled()), .gradients = &gradients, .dropout = &dropout});
    Run result{.gradients = Bits(graph().parameters().size()),
               .flops = backend_.flops(),
               .kept = model_.executor().observed().kept_bytes};
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph().parameters().size()); ++id) {
      if (selection.contains(id)) result.gradients[static_cast<std::size_t>(id)] = gradients[id].download();
    }
    return result;
  }

  bool gradients_agree(const Run& run, const Selection& selection) const {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph().parameters().size()); ++id) {
      const auto i = static_cast<std::size_t>(id);
      if (!selection.contains(id)) continue;
      const auto& a = run.gradients[i];
      const auto& b = full_.gradients[i];
      if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) != 0) return false;
    }
    return true;
  }
  bool flops_agree(const Run& run, const PassPlan& plan) const {
    const ExactCost<Counting> cost;
    return run.flops == evaluate(pass_cost(graph(), plan, cost).total(), workload_);
  }
  bool memory_agrees(const Run& run, const PassPlan& plan) const {
    return run.kept == kept_by_plan(graph(), plan, workload_);
  }

 private:
  Counting& backend_;
  Model<Counting> model_;
  Batch batch_;
  Workload workload_;
  Run full_;
};

Selection random_selection(const TensorGraph<Counting>& graph, std::uint64_t seed) {
  CounterRandom random(seed, "selection");
  const double density = std::array{0.02, 0.1, 0.4, 0.9}[seed % 4];
  Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < density; });
  if (selection.count() == 0)
    selection.insert(static_cast<ParameterId>(random.below(static_cast<std::uint32_t>(graph.parameters().size()))));
  return selection;
}

std::vector<Fixture> fixtures(Counting& backend) {
  std::vector<Fixture> all;
  for (const auto& variant : testing::model_variants()) {
    const auto folder = testing::source_folder() / "tests" / "golden" / "models" / variant.model;
    const auto config = ConfigReader::from_file(folder / "config.json");
    KnownArchitectures::read(config, [&](const auto& architecture) {
      const ModelFacts facts = facts_of(architecture);
      all.emplace_back(backend, architecture.template graph<Counting>(variant.options), facts,
                       testing::random_batch(96, {7, 12, 1, 5}, 3, facts.target_shift ? 6 : 0));
      return 0;
    });
  }
  all.emplace_back(backend, testing::encoder_decoder_graph<Counting>(50, 16, 4),
                   ModelFacts{"encoder-decoder", 50, 64, {}}, testing::random_batch(50, {7, 3, 10}, 4, 6));
  return all;
}

}  // namespace

TEST_CASE("random selections: gradients to the bit, FLOPs and kept bytes to the unit") {
  Counting backend(2);
  auto all = fixtures(backend);
  constexpr int selections_each = 250;
  int checked = 0;
  for (std::size_t m = 0; m < all.size(); ++m) {
    Fixture& fixture = all[m];
    CAPTURE(m);
    REQUIRE(fixture.flops_agree(fixture.full(), training_plan(fixture.graph(), select_all(fixture.graph()))));
    const GradientDag dag = gradient_dag_of(fixture.graph(), ExactCost<Counting>{}, fixture.workload());
    for (int s = 0; s < selections_each; ++s, ++checked) {
      CAPTURE(s);
      const Selection selection = random_selection(fixture.graph(), static_cast<std::uint64_t>(s));
      const Schedule schedule = make_schedule(fixture.graph(), selection);
      const Run run = fixture.run(schedule, selection);
      REQUIRE(fixture.gradients_agree(run, selection));
      REQUIRE(fixture.flops_agree(run, schedule.plan));
      REQUIRE(fixture.memory_agrees(run, schedule.plan));
      const auto planned =
          evaluate(pass_cost(fixture.graph(), schedule.plan, ExactCost<Counting>{}).backward, fixture.workload());
      REQUIRE(cost_of(dag, selection.mask()) == planned);  // what selectors price is what plans compute
    }
  }
  CHECK(checked >= 1000);
}

TEST_CASE("planted faults are seen") {
  Counting backend(2);
  for (Fixture& fixture : fixtures(backend)) {
    const Selection selection = random_selection(fixture.graph(), 2);
    const Schedule sound = make_schedule(fixture.graph(), selection);

    SUBCASE("an extra product") {
      Schedule planted = sound;
      bool found = false;
      for (auto& step : planted.plan.steps) {
        if (!step.is_backward()) continue;
        const auto& op = fixture.graph().op(step.op);
        for (int p = 0; p < static_cast<int>(op.op->parts().size()); ++p) {
          const auto& part = op.op->parts()[static_cast<std::size_t>(p)];
          const bool readable = (part.keeps_inputs & ~step.inputs) == 0;
          if (!found && part.kind == GradPart::Kind::parameter && (step.parts & bit(p)) == 0 && readable) {
            step.parts |= bit(p);
            found = true;
          }
        }
      }
      REQUIRE(found);
      CHECK_FALSE(fixture.flops_agree(fixture.run(planted, selection), sound.plan));
    }
    SUBCASE("a kept tensor") {
      Schedule planted = sound;
      for (auto& storage : planted.lifetimes.storages) {
        if (storage.dies >= planted.lifetimes.turning_point || storage.born == storage.dies) continue;
        storage.dies = planted.lifetimes.turning_point + 1;
        break;
      }
      CHECK_FALSE(fixture.memory_agrees(fixture.run(planted, selection), sound.plan));
    }
    SUBCASE("a value freed too early") {
      Schedule planted = make_schedule(fixture.graph(), select_all(fixture.graph()));
      for (auto& storage : planted.lifetimes.storages) {
        if (storage.gradient || storage.dies <= planted.lifetimes.turning_point) continue;
        storage.dies = planted.lifetimes.turning_point - 1;
        break;
      }
      const Run run = fixture.run(planted, select_all(fixture.graph()));
      CHECK_FALSE(fixture.gradients_agree(run, select_all(fixture.graph())));
    }
    SUBCASE("a gradient freed too early") {
      Schedule planted = make_schedule(fixture.graph(), select_all(fixture.graph()));
      for (auto& storage : planted.lifetimes.storages) {
        if (!storage.gradient || storage.dies < storage.born + 2) continue;
        storage.dies = storage.born;
        break;
      }
      const Run run = fixture.run(planted, select_all(fixture.graph()));
      CHECK_FALSE(fixture.gradients_agree(run, select_all(fixture.graph())));
    }
  }
}

TEST_CASE("the deepest attention forms only the gradients that a selected projection needs") {
  Counting backend(1);
  const auto config = ConfigReader::from_file(testing::source_folder() / "tests/golden/models/opt-pre/config.json");
  const auto graph = Opt::read(config).graph<Counting>();
  const auto parts_of_deepest_attention = [&](const std::string& projection) {
    const auto plan = training_plan(graph, select_listed(graph, {"model.decoder.layers.0.self_attn." + projection}));
    for (const auto& step : plan.steps) {
      if (step.is_backward() && graph.op(step.op).name == "model.decoder.layers.0.self_attn") return step.parts;
    }
    return BitSet{0};
  };
  using A = Attention;
  CHECK(parts_of_deepest_attention("out_proj.weight") == 0);
  CHECK(parts_of_deepest_attention("v_proj.weight") == (bit(A::probabilities) | bit(A::grad_value)));
  CHECK(parts_of_deepest_attention("q_proj.bias") ==
        (bit(A::probabilities) | bit(A::grad_scores) | bit(A::grad_query)));
  CHECK(parts_of_deepest_attention("k_proj.weight") ==
        (bit(A::probabilities) | bit(A::grad_scores) | bit(A::grad_key)));
}

TEST_CASE("a frozen linear layer keeps no input, and nothing below the deepest selected parameter is kept") {
  Counting backend(1);
  const auto config =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-mha-untied/config.json");
  const auto graph = Llama::read(config).graph<Counting>();
  const auto plan = training_plan(graph, select_listed(graph, {"model.layers.1.mlp.up_proj.weight"}));
  for (const auto& step : plan.steps) {
    if (!step.is_backward()) continue;
    const auto& op = graph.op(step.op);
    CAPTURE(op.name);
    if (op.op->kind() == Linear::kind && op.name != "model.layers.1.mlp.up_proj") CHECK(step.inputs == 0);
    CHECK(op.name.find("layers.0") == std::string::npos);
  }
  CHECK(graph.op(plan.steps.back().op).name == "model.layers.1.mlp.up_proj");
}

TEST_CASE("after the largest batch a step allocates nothing") {
  Counting backend(2);
  const auto config =
      ConfigReader::from_file(testing::source_folder() / "tests/golden/models/llama-gqa-tied/config.json");
  const Llama llama = Llama::read(config);
  Model<Counting> model(backend, llama.graph<Counting>(), facts_of(llama));
  testing::randomize(model, 1);
  const Selection all = select_all(model.graph());
  const Schedule schedule = make_schedule(model.graph(), all);
  GradientStore<Counting> gradients(backend);
  gradients.select(model.graph(), all);
  model.executor().run(schedule, testing::random_batch(96, {20, 30}, 1), {.gradients = &gradients});
  const auto allocations = backend.memory().allocations;
  for (std::uint64_t s = 2; s < 6; ++s)
    model.executor().run(schedule, testing::random_batch(96, {static_cast<Extent>(5 * s), 7}, s),
                         {.gradients = &gradients});
  CHECK(backend.memory().allocations == allocations);
}
