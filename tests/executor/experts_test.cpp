// Experts: what routing decides is counted as it was, and each expert's weights are trained alone like any other's.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "executor/pass_fixture.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/ops/expert.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

const std::vector<std::string> mixtures = {"mixtral", "olmoe", "qwen2_moe", "qwen3_moe"};

Fixture fixture_of(Counting& backend, const std::string& name) {
  const auto folder = source_folder() / "tests/golden/architectures" / name;
  return KnownArchitectures::read(ConfigReader::from_file(folder / "config.json"), [&](const auto& architecture) {
    return Fixture(backend, architecture.template graph<Counting>(), facts_of(architecture),
                   random_batch(80, {7, 12, 1, 5}, 3));
  });
}

bool is_zero(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return x == 0; });
}

}  // namespace

TEST_CASE("all experts together execute what was planned, but for the rounding of averages") {
  Counting backend(2);
  for (const std::string& name : mixtures) {
    CAPTURE(name);
    Fixture fixture = fixture_of(backend, name);
    const auto& operators = fixture.graph().operators();
    const auto experts = std::count_if(operators.begin(), operators.end(),
                                       [](const auto& node) { return node.op->kind() == Expert::kind; });
    REQUIRE(experts > 0);
    const Run& full = fixture.full();
    CHECK(fixture.flops_agree(full, training_plan(fixture.graph(), select_all(fixture.graph()))));
    CHECK(std::abs(full.beyond_plan) <= experts * 12 * fixture.workload()[Measure::decoder_tokens]);
  }
}

TEST_CASE(
    "one expert trained alone has the gradient of full training to the bit, and its own tokens' FLOPs are counted") {
  Counting backend(2);
  std::size_t with_tokens = 0, without = 0, off_average = 0;
  for (const std::string& name : mixtures) {
    CAPTURE(name);
    Fixture fixture = fixture_of(backend, name);
    for (ParameterId id = 0; id < static_cast<ParameterId>(fixture.graph().parameters().size()); ++id) {
      const std::string& parameter = fixture.graph().parameter(id).name;
      if (parameter.find(".experts.") == std::string::npos) continue;
      CAPTURE(parameter);
      const Selection one = select_listed(fixture.graph(), {parameter});
      const Schedule schedule = make_schedule(fixture.graph(), one);
      const Run run = fixture.run(schedule, one);
      REQUIRE(fixture.gradients_agree(run, one));
      REQUIRE(fixture.flops_agree(run, schedule.plan));
      (is_zero(run.gradients[static_cast<std::size_t>(id)]) ? without : with_tokens) += 1;
      off_average += run.beyond_plan != 0 ? 1 : 0;
    }
  }
  CHECK(with_tokens > 50);
  CHECK(without > 0);
  CHECK(off_average > 50);
}

TEST_CASE("experts in one tensor have exact prices, and each tensor, sinks too, the gradient of full training alone") {
  Counting backend(2);
  Fixture fixture = fixture_of(backend, "gpt_oss");
  const Run& full = fixture.full();
  CHECK(fixture.flops_agree(full, training_plan(fixture.graph(), select_all(fixture.graph()))));
  CHECK(full.beyond_plan == 0);
  std::size_t alone = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(fixture.graph().parameters().size()); ++id) {
    const std::string& parameter = fixture.graph().parameter(id).name;
    const bool in_attention = parameter.find(".sinks") != std::string::npos;
    if (parameter.find(".mlp.") == std::string::npos && !in_attention) continue;
    CAPTURE(parameter);
    const Selection one = select_listed(fixture.graph(), {parameter});
    const Schedule schedule = make_schedule(fixture.graph(), one);
    const Run run = fixture.run(schedule, one);
    CHECK(fixture.gradients_agree(run, one));
    CHECK(fixture.flops_agree(run, schedule.plan));
    CHECK(run.beyond_plan == 0);
    CHECK_FALSE(is_zero(run.gradients[static_cast<std::size_t>(id)]));
    ++alone;
  }
  CHECK(alone == 2 * 7);
}

TEST_CASE("a run's report counts the FLOPs that were executed, wherever tokens were routed") {
  for (const std::string& name : mixtures) {
    CAPTURE(name);
    Counting backend(2);
    auto model = tiny_model(backend, "../architectures/" + name);
    const auto experts =
        select_where(model.graph(), [](const Parameter& p) { return p.name.find(".experts.1.") != std::string::npos; });
    REQUIRE(experts.count() >= 3);
    Trainer<Counting> trainer(model, experts, AdamWOptions{.learning_rate = 1e-3});
    const auto examples = counting_examples(11, 80);
    backend.reset();
    const auto report = trainer.fit(examples, {.steps = 7, .batch_size = 2, .evaluate = Evaluations::both});
    CHECK(backend.flops() == report.flops.train + report.flops.optimizer + report.flops.evaluation);
  }
}

TEST_CASE("tensors of experts are chosen like others, within a ratio") {
  Counting backend(2);
  auto model = tiny_model(backend, "../architectures/qwen3_moe");
  Trainer<Counting> trainer(model, GreenOptions{.flops_ratio = 0.7}, AdamWOptions{.learning_rate = 1e-3});
  const auto report = trainer.fit(counting_examples(11, 80), {.steps = 4, .batch_size = 2});
  const auto& names = report.selections.front().names;
  const auto of_experts = std::count_if(names.begin(), names.end(),
                                        [](const std::string& n) { return n.find(".experts.") != std::string::npos; });
  CHECK(of_experts > 0);
  CHECK(static_cast<std::size_t>(of_experts) < names.size());
}
