// What a selection trains is exactly what full backward would have given it; what it costs and keeps is exactly what
// the plan says.

#include <doctest/doctest.h>

#include "executor/pass_fixture.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/llama.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Of so many random selections of each model, how many were found right.
int check_random_selections(std::vector<Fixture>& models, int selections_each) {
  int checked = 0;
  for (std::size_t m = 0; m < models.size(); ++m) {
    Fixture& fixture = models[m];
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
  return checked;
}

}  // namespace

TEST_CASE("random selections: gradients to the bit, FLOPs and kept bytes to the unit") {
  Counting backend(2);
  auto all = fixtures(backend);
  CHECK(check_random_selections(all, 250) >= 1000);
}

TEST_CASE("random selections of every other architecture, experts and text parts among them, as exactly") {
  Counting backend(2);
  auto all = architecture_fixtures(backend);
  CHECK(check_random_selections(all, 40) >= 1700);
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
  const CausalDecoder llama = Llama::read(config);
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
