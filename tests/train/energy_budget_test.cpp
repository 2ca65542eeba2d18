// A run's energy, and a budget in joules: planned by measured power, and not exceeded where it is wrong.

#include <memory>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/calibrate.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/flat_times.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::flat_times;

namespace {

using B = EigenBackend<float>;

/// A counter that a run reads: it has gone on by `each` joules whenever it is looked at.
struct MadeUpCounter {
  double each = 1, joules = 0;
  int readings = 0, most_readings = 1'000'000;

  EnergyReading reading() {
    return [this]() -> std::optional<double> {
      if (++readings > most_readings) return std::nullopt;
      return joules += each;
    };
  }
};

struct Run {
  B backend{1};
  Model<B> model = testing::tiny_model(backend, "opt-pre");
  std::vector<Example> examples = counting_examples(40);
  Trainer<B> trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-4}};
};

}  // namespace

TEST_CASE("joules are planned as the seconds that they last at the measured power") {
  Run run;
  FitOptions options{.epochs = 2, .batch_size = 3, .budget = {.times = flat_times(run.model, 7, 300, 5000, 20)}};
  options.budget.seconds = 1e-4;
  const RunPlan timed = run.trainer.plan_run(run.examples, options);
  options.budget.seconds = 0;
  options.budget.joules = 2e-3;
  MadeUpCounter counter;
  options.energy = counter.reading();
  const RunPlan plan = run.trainer.plan_run(run.examples, options);
  CHECK(plan.steps == timed.steps);
  CHECK(plan.batch_size == timed.batch_size);
  CHECK(plan.joules == 2e-3);
  CHECK(plan.planned_seconds == timed.planned_seconds);
  CHECK(plan.planned_joules == doctest::Approx(20 * timed.planned_seconds));
  CHECK(plan.planned_joules <= plan.joules);
  CHECK(plan.seconds == 0);
  CHECK(plan.budget == 0);
  options.budget.joules = 1e-12;
  CHECK(testing::error_of<InfeasibleBudget>([&] {
          run.trainer.plan_run(run.examples, options);
        }).find(" joules, which the first step on a batch of 1 is expected to take, got 1e-12") != std::string::npos);
}

TEST_CASE("joules are planned by class: what draws more power is paid for with more joules, in the same time") {
  Run run;
  auto times = std::make_shared<OperatorTimes>(*flat_times(run.model, 7, 300, 5000, 20));
  FitOptions options{.epochs = 2, .batch_size = 3, .budget = {.joules = 1e6, .times = times}};
  MadeUpCounter counter;
  options.energy = counter.reading();
  const RunPlan mean = run.trainer.plan_run(run.examples, options);
  const auto planned = [&](const char* work, double watts) {
    times->watts_of = {{work, watts}};
    const RunPlan plan = run.trainer.plan_run(run.examples, options);
    CHECK(plan.steps == mean.steps);
    CHECK(plan.planned_seconds == mean.planned_seconds);
    return plan.planned_joules;
  };
  // Without power of its own a class leaves what all others take.
  double shares = 0;
  for (const char* work : {"products", "attention", "elementwise", "updates"}) {
    const double without = planned(work, 0), twice = planned(work, 40);
    CHECK(without < mean.planned_joules);
    CHECK(twice + without == doctest::Approx(2 * mean.planned_joules).epsilon(1e-9));
    shares += mean.planned_joules - without;
  }
  CHECK(shares < mean.planned_joules);  // and passes take time around operators
  CHECK(shares > 0.9 * mean.planned_joules);
  const double updates = mean.planned_joules - planned("updates", 0);
  const auto elements = static_cast<double>(parameter_elements(run.model.graph()));
  CHECK(updates == doctest::Approx(20 * 300e-12 * elements * static_cast<double>(mean.steps)).epsilon(1e-9));

  // A budget for half of it buys fewer steps where products draw more.
  options.budget.joules = mean.planned_joules / 2;
  options.budget.cuts = BudgetCuts::steps;
  times->watts_of = {};
  const Extent steps = run.trainer.plan_run(run.examples, options).steps;
  times->watts_of = {{"products", 30}};
  const RunPlan fewer = run.trainer.plan_run(run.examples, options);
  CHECK(fewer.steps < steps);
  CHECK(fewer.planned_joules <= options.budget.joules);
}

TEST_CASE("a run that takes more than was measured ends before it spends more than its budget") {
  Run run;
  MadeUpCounter counter{.each = 10};
  FitOptions options{.steps = 30, .batch_size = 3, .energy = counter.reading(), .evaluate = Evaluations::none};
  options.budget = {.joules = 105, .times = flat_times(run.model, 7, 300, 5000, 20)};
  const TrainingReport report = run.trainer.fit(run.examples, options);
  CHECK(report.plan.steps == 30);  // which were expected to take far less
  CHECK(report.budget_reached);
  REQUIRE(report.joules);
  CHECK(*report.joules <= 105);
  CHECK(*report.joules + 20 > 105);
  CHECK(report.steps < 30);
  double sum = 0;
  for (const StepRecord& step : report.history) sum += step.joules.value();
  CHECK(sum <= *report.joules);  // choosing tensors is in no step
}

TEST_CASE("without a budget energy is measured where it can be, and evaluations are apart") {
  Run run;
  MadeUpCounter counter{.each = 2};
  FitOptions options{.steps = 4, .batch_size = 3, .energy = counter.reading()};
  const TrainingReport report = run.trainer.fit(run.examples, options);
  CHECK(report.joules == 2.0 * (4 + 1));  // four steps, and choosing once
  options.energy = {};
  CHECK_FALSE(run.trainer.fit(run.examples, options).joules);
}

TEST_CASE("a counter that fails on the way leaves no number, and ends a run that it is the budget of") {
  Run run;
  MadeUpCounter counter{.most_readings = 6};
  FitOptions options{.steps = 10, .batch_size = 3, .energy = counter.reading(), .evaluate = Evaluations::none};
  const TrainingReport whole = run.trainer.fit(run.examples, options);
  CHECK(whole.steps == 10);
  CHECK_FALSE(whole.joules);
  counter = {.most_readings = 6};
  options.budget = {.joules = 1e6, .times = flat_times(run.model, 7, 300, 5000, 20)};
  const TrainingReport ended = run.trainer.fit(run.examples, options);
  CHECK(ended.steps < 10);
  CHECK(ended.budget_reached);
}

TEST_CASE("joules without a counter, without watts, or beside another budget are refused by name") {
  Run run;
  MadeUpCounter counter;
  FitOptions options{.steps = 2, .energy = counter.reading()};
  const auto refused = [&](RunBudget budget, const char* why) {
    options.budget = std::move(budget);
    const std::string error = testing::error_of<ConfigError>([&] { run.trainer.plan_run(run.examples, options); });
    CAPTURE(error);
    CHECK(error.find(why) != std::string::npos);
  };
  const auto times = flat_times(run.model, 7, 300, 5000, 20), no_watts = flat_times(run.model, 7, 300, 5000);
  refused({.joules = 5}, "times of the model's operators beside seconds or joules");
  refused({.joules = 5, .times = no_watts}, "expected watts that were measured beside joules");
  refused({.joules = -1, .times = times}, "at least 0 joules");
  refused({.joules = 1e9, .times = times}, "joules that last for at most");
  refused({.seconds = 1, .joules = 5, .times = times}, "more than one of them");
  options.energy = {};
  refused({.joules = 5, .times = times}, "expected energy beside joules");
}

TEST_CASE("a calibration measures power where it can read energy") {
  Run run;
  const TrainingBatches batches(run.examples, FitOptions{});
  const std::vector<Batch> made = {batches.make({0, 1}), batches.make({2})};
  const auto times = [&](EnergyReading energy) {
    return calibrate(run.model, std::span<const Batch>(made), AdamWOptions{},
                     {.repeats = 1, .energy = std::move(energy), .energy_interval = 1e-6});
  };
  CHECK(times({}).watts == 0);
  CHECK(times({}).watts_of.empty());
  const auto start = TrainingClock::now();
  const OperatorTimes measured = times([&]() -> std::optional<double> { return 50 * seconds_since(start); });
  CHECK(measured.watts == doctest::Approx(50).epsilon(0.05));
  CHECK(measured.watts_of.at("updates") == doctest::Approx(50).epsilon(0.05));
  for (const double interval : {-1.0, 11.0}) {
    CHECK(testing::error_of<ConfigError>([&] {
            calibrate(run.model, std::span<const Batch>(made), AdamWOptions{}, {.energy_interval = interval});
          }).find("energy_interval: expected 0 to 10 seconds") != std::string::npos);
  }
}
