// Ratios that change with time: each phase keeps its own, a run's budget holds for all together, and a phase of ratio 1
// is full fine-tuning.

#include "greentrainer/train/phases.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

const AdamWOptions adamw{.learning_rate = 1e-3};

GreenOptions in(std::vector<Phase> phases) {
  return {.phases = std::move(phases), .importance = "first-order", .reselect_every = {2, Interval::Unit::steps}};
}

std::vector<Extent> steps_of_selections(const TrainingReport& report) {
  std::vector<Extent> steps;
  for (const SelectionRecord& record : report.selections) steps.push_back(record.step);
  return steps;
}

/// FLOPs of steps [first, end), as a share of full fine-tuning's.
double ratio_of(const TrainingReport& report, std::size_t first, std::size_t end) {
  Flops spent = 0, full = 0;
  for (std::size_t i = first; i < end; ++i) {
    spent += report.history[i].flops;
    full += report.history[i].full_flops;
  }
  return static_cast<double>(spent) / static_cast<double>(full);
}

}  // namespace

TEST_CASE("phases cover a run's steps in order, each by the share that it has, to the nearest step") {
  CounterRandom random(1, "phases");
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<Phase> phases(1 + random.below(5));
    double sum = 0;
    for (Phase& phase : phases) sum += phase.steps = 0.05 + random.uniform();
    for (Phase& phase : phases) phase.steps /= sum;
    check_phases(phases);
    const Extent steps = 1 + random.below(200);
    CAPTURE(trial);
    double before = 0;
    for (std::size_t i = 0; i < phases.size(); ++i) {
      const Extent first = first_step_of(phases, i, steps), end = first_step_of(phases, i + 1, steps);
      CHECK(std::abs(static_cast<double>(first) - before * static_cast<double>(steps)) <= 0.5 + 1e-9);
      CHECK(first <= end);
      for (Extent step = first; step < end; ++step) CHECK(phase_of(phases, step, steps) == i);
      before += phases[i].steps;
    }
    CHECK(first_step_of(phases, 0, steps) == 0);
    CHECK(first_step_of(phases, phases.size(), steps) == steps);
  }
}

TEST_CASE("a phase of ratio 1 is full fine-tuning to the bit and measures nothing; the next keeps its own ratio") {
  const auto examples = counting_examples(16);
  const FitOptions options{.epochs = 3, .batch_size = 4, .seed = 2, .evaluate = Evaluations::none};
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied"), other = tiny_model(backend, "llama-gqa-tied");
  Trainer full{other, select_all(other.graph()), adamw};
  const TrainingReport of_full = full.fit(examples, options);

  Trainer trainer{model, in({{.flops_ratio = 1, .steps = 0.4}, {.flops_ratio = 0.5, .steps = 0.6}}), adamw};
  trainer.start(examples, options);
  const Extent first = 5;  // 0.4 of 12 steps is 4.8
  backend.reset();
  while (trainer.steps_done() < first) REQUIRE(trainer.step());
  CHECK(trainer.report().flops.importance == 0);
  CHECK(backend.flops() == trainer.report().spent());
  const Bytes everything = trainer.optimizer().state_bytes();
  while (trainer.step()) {
  }
  CHECK(trainer.optimizer().state_bytes() < everything);
  const TrainingReport report = trainer.finish();
  CHECK(backend.flops() == report.spent());
  CHECK(report.flops.importance > 0);

  for (std::size_t i = 0; i < static_cast<std::size_t>(first); ++i) {
    CHECK(report.history[i].loss == of_full.history[i].loss);
    CHECK(report.history[i].flops == report.history[i].full_flops);
  }
  CHECK(report.history[first].loss == of_full.history[first].loss);  // before its update
  CHECK(report.history[first + 1].loss != of_full.history[first + 1].loss);
  CHECK(ratio_of(report, first, report.history.size()) <= 0.5);
  CHECK(ratio_of(report, first, report.history.size()) > 0.4);
  CHECK(steps_of_selections(report) == std::vector<Extent>{0, 5, 7, 9, 11});
  CHECK(report.selections[0].names.size() == model.graph().parameters().size());
  CHECK(report.selections[0].importance.empty());
}

TEST_CASE("deep and narrow may come in either order, each within its ratio, chosen again from its own first step on") {
  const auto examples = counting_examples(20);
  for (const std::vector<Phase>& phases :
       {std::vector<Phase>{{.flops_ratio = 0.75, .steps = 0.3}, {.flops_ratio = 0.45, .steps = 0.7}},
        std::vector<Phase>{{.flops_ratio = 0.45, .steps = 0.3}, {.flops_ratio = 0.75, .steps = 0.7}}}) {
    B backend(1);
    auto model = tiny_model(backend, "opt-pre");
    Trainer trainer{model, in(phases), adamw};
    const TrainingReport report = trainer.fit(examples, {.epochs = 2, .batch_size = 4, .evaluate = Evaluations::none});
    CHECK(steps_of_selections(report) == std::vector<Extent>{0, 2, 3, 5, 7, 9});
    CHECK(ratio_of(report, 0, 3) <= phases[0].flops_ratio);
    CHECK(ratio_of(report, 3, 10) <= phases[1].flops_ratio);
    CHECK((ratio_of(report, 0, 3) > ratio_of(report, 3, 10)) == (phases[0].flops_ratio > phases[1].flops_ratio));
    for (const SelectionRecord& record : report.selections) CHECK(record.cost <= record.budget);
  }
}

TEST_CASE("a run's budget holds for all phases together, which are laid over the steps that it pays for") {
  CounterRandom random(2, "phases");
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = counting_examples(23);
  for (int trial = 0; trial < 8; ++trial) {
    CAPTURE(trial);
    const double share = 0.2 + 0.4 * random.uniform();
    std::vector<Phase> phases = {{.flops_ratio = 1, .steps = share},
                                 {.flops_ratio = 0.45 + 0.3 * random.uniform(), .steps = 1 - share}};
    if (trial % 4 > 1) std::swap(phases[0], phases[1]);
    const BudgetCuts cuts = trial % 2 == 0 ? BudgetCuts::batch : BudgetCuts::steps;
    const FitOptions options{.epochs = 3,
                             .batch_size = 4,
                             .budget = {.share_of_full = 0.4 + 0.4 * random.uniform(), .cuts = cuts},
                             .seed = static_cast<std::uint64_t>(trial),
                             .evaluate = Evaluations::none};
    Trainer trainer{model, in(phases), adamw};
    const RunPlan plan = trainer.plan_run(examples, options);
    backend.reset();
    const TrainingReport report = trainer.fit(examples, options);
    CHECK(backend.flops() == report.spent());
    CHECK(report.spent() <= plan.planned);
    CHECK(plan.planned <= plan.budget);
    CHECK_FALSE(report.budget_reached);
    CHECK(report.steps == plan.steps);
    const std::vector<Extent> steps = steps_of_selections(report);
    CHECK(std::count(steps.begin(), steps.end(), first_step_of(phases, 1, plan.steps)) == 1);
  }
  // Where nothing is chosen, what is planned is what is spent.
  Trainer full{model, in({{.flops_ratio = 1}}), adamw};
  const FitOptions half{.epochs = 2, .batch_size = 4, .budget = {.share_of_full = 0.5}, .evaluate = Evaluations::none};
  const TrainingReport report = full.fit(examples, half);
  CHECK(report.spent() == report.plan.planned);
}

TEST_CASE("what is frozen is not trained in a phase of ratio 1 either") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto before = weights_of(model);
  GreenOptions green = in({{.flops_ratio = 1, .steps = 0.5}, {.flops_ratio = 0.6, .steps = 0.5}});
  green.freeze = {"*.fc1.*", "*embed*"};
  const Selection frozen = select_listed(model.graph(), green.freeze);
  Trainer trainer{model, green, adamw};
  backend.reset();
  const TrainingReport report =
      trainer.fit(counting_examples(16), {.epochs = 2, .batch_size = 4, .evaluate = Evaluations::none});
  CHECK(backend.flops() == report.spent());
  CHECK(report.selections[0].names.size() == before.size() - frozen.count());
  const auto after = weights_of(model);
  for (std::size_t i = 0; i < after.size(); ++i) {
    CAPTURE(model.graph().parameters()[i].name);
    if (frozen.mask()[i]) CHECK(after[i] == before[i]);
  }
}

TEST_CASE("phases that a run cannot keep are refused by name before its first step") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  auto with_lora = tiny_model(backend, "opt-pre", {.lora = LoraOptions{.rank = 2}});
  const auto before = weights_of(model);
  const auto examples = counting_examples(8);
  const std::vector<Phase> tenth = {{.flops_ratio = 1, .steps = 0.1}, {.flops_ratio = 0.5, .steps = 0.9}};
  const auto refused = [&](Model<B>& of, const std::vector<Phase>& phases, const FitOptions& options,
                           const std::string& why) {
    std::string message;
    try {
      Trainer<B>(of, in(phases), adamw).fit(examples, options);
    } catch (const ConfigError& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find(why) != std::string::npos);
  };
  refused(model, tenth, {.batch_size = 2},
          "phases: expected a step or more of the run's 4 in each phase, got none for 0.1");
  refused(model, {{.flops_ratio = 0.6, .steps = 0.5}, {.flops_ratio = 0.2, .steps = 0.5}}, {.batch_size = 2},
          "phases: expected ratios of at least 0.");
  refused(with_lora, tenth, {.epochs = 5, .batch_size = 2},
          "phases: expected ratios below 1 for a model with adapters");
  refused(model, tenth, {.epochs = 5, .batch_size = 2, .memory_limit = Bytes{1} << 30},
          "memory_limit: expected 0 beside a phase of ratio 1");
  CHECK(weights_of(model) == before);
  Trainer<B>(with_lora, in({{.flops_ratio = 0.7, .steps = 0.5}, {.flops_ratio = 0.5, .steps = 0.5}}), adamw)
      .fit(examples, {.batch_size = 2, .evaluate = Evaluations::none});
}
