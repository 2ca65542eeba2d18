// A run's budget in seconds: planned by measured times before the start, and not exceeded where they are wrong.

#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/run_budget.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/flat_times.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::flat_times;

namespace {

using B = EigenBackend<float>;

/// Seconds of the first steps of a run, by its batches.
double by_hand(const Model<B>& model, const std::vector<Example>& examples, const FitOptions& options, Extent steps) {
  const TimeCost<B> cost(options.budget.times);
  const LinearCost pass = full_fine_tuning_cost(model.graph(), cost);
  const TrainingBatches batches(examples, options);
  double sum = 0;
  for (Extent step = 0; step < steps; ++step) {
    for (const auto& numbers : batches.of_step(step)) {
      sum += static_cast<double>(evaluate(pass, batches.workload_of_batch(numbers)));
      sum += options.budget.times->per_pass;
    }
    double update = options.budget.times->per_update.begin()->second;
    if (options.clip_norm > 0) update += options.budget.times->per_clipped;
    sum += update * static_cast<double>(parameter_elements(model.graph()));
  }
  return sum * 1e-12;
}

}  // namespace

TEST_CASE("a budget in seconds pays for as many steps as measured times say, and not one more") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(40);
  Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-4});
  FitOptions options{.epochs = 2,
                     .batch_size = 3,
                     .gradient_accumulation = 2,
                     .budget = {.cuts = BudgetCuts::steps, .times = flat_times(model, 7, 300, 5000)},
                     .clip_norm = 1};
  const Extent asked = TrainingBatches(examples, options).steps();
  for (const double share : {0.1, 0.3, 0.55, 0.93, 1.5}) {
    CAPTURE(share);
    options.budget.seconds = share * by_hand(model, examples, options, asked);
    const RunPlan plan = trainer.plan_run(examples, options);
    CHECK(plan.batch_size == 3);
    CHECK(plan.seconds == options.budget.seconds);
    CHECK(plan.planned_seconds == doctest::Approx(by_hand(model, examples, options, plan.steps)).epsilon(1e-9));
    CHECK(plan.planned_seconds <= plan.seconds);
    if (share > 1)
      CHECK(plan.steps == asked);
    else
      CHECK(by_hand(model, examples, options, plan.steps + 1) > plan.seconds);
    CHECK(plan.exact);
    CHECK(plan.budget == 0);
  }
}

TEST_CASE("smaller batches keep about as many steps within a budget in seconds") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(40);
  Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{});
  FitOptions options{.epochs = 1, .batch_size = 8, .budget = {.times = flat_times(model, 7, 1, 5000)}};
  options.budget.seconds = 0.5 * by_hand(model, examples, options, 5);
  const RunPlan plan = trainer.plan_run(examples, options);
  CHECK(plan.batch_size < 8);
  CHECK(plan.steps >= 4);
  CHECK(plan.planned_seconds <= plan.seconds);
}

TEST_CASE("a run that turns out to be slower than planned ends before its budget is exceeded") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(40);
  Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-4});
  FitOptions options{.steps = 400, .batch_size = 4, .evaluate = Evaluations::none};
  const TrainingReport free = trainer.fit(examples, options);
  REQUIRE(free.steps == 400);
  CHECK(free.training_seconds() > 0);
  CHECK(free.training_seconds() <= free.seconds.total);
  options.budget = {
      .seconds = free.training_seconds() / 8, .cuts = BudgetCuts::steps, .times = flat_times(model, 1e-3, 1e-3, 0)};
  const TrainingReport report = trainer.fit(examples, options);
  CHECK(report.plan.steps == 400);
  CHECK(report.budget_reached);
  CHECK(report.steps > 0);
  CHECK(report.steps < 400);
  double longest = 0;
  for (const StepRecord& step : report.history) longest = std::max(longest, step.seconds);
  CHECK(report.training_seconds() <= options.budget.seconds + longest);
}

TEST_CASE("tensors that are chosen by time keep the budget that their share of it gives") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(24);
  const auto times = flat_times(model, 7, 300, 5000);
  Trainer<B> trainer(model, GreenOptions{.flops_ratio = 0.6, .importance = "magnitude"}, AdamWOptions{});
  trainer.use_cost_model(TimeCost<B>(times));
  FitOptions options{.epochs = 1, .batch_size = 4, .budget = {.seconds = 3600, .times = times}};
  const RunPlan plan = trainer.plan_run(examples, options);
  CHECK(plan.steps == 6);
  CHECK_FALSE(plan.exact);
  const TrainingReport report = trainer.fit(examples, options);
  REQUIRE(report.selections.size() == 1);
  CHECK(report.selections.front().unit == "ps");
  CHECK(report.selections.front().cost <= report.selections.front().budget);
  CHECK(report.selections.front().names.size() > 0);
}

TEST_CASE("a budget in seconds is refused without times, beside another, and where no step fits") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(8);
  Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{});
  const auto times = flat_times(model, 7, 300, 5000);
  const auto with = [&](RunBudget budget) { return FitOptions{.budget = std::move(budget)}; };
  CHECK_THROWS_AS(trainer.plan_run(examples, with({.seconds = 1})), ConfigError);
  CHECK_THROWS_AS(trainer.plan_run(examples, with({.seconds = -1, .times = times})), ConfigError);
  CHECK_THROWS_AS(trainer.plan_run(examples, with({.seconds = 1e9, .times = times})), ConfigError);
  CHECK_THROWS_AS(trainer.plan_run(examples, with({.flops = 1000, .seconds = 1, .times = times})), ConfigError);
  CHECK_THROWS_AS(trainer.plan_run(examples, with({.seconds = 1e-12, .times = times})), InfeasibleBudget);
  Trainer<B> other(model, select_all(model.graph()), SgdOptions{});
  CHECK_THROWS_AS(other.plan_run(examples, with({.seconds = 1, .times = times})), ConfigError);
}
