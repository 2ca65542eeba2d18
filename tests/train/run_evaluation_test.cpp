// Evaluations on the way change nothing of a run; it ends with the weights of the best of them, and no later than
// patience allows.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;
using Weights = std::vector<std::vector<float>>;

struct Run {
  explicit Run(double learning_rate = 1e-3, bool chooses = true)
      : model(tiny_model(backend, "llama-gqa-tied")),
        trainer(chooses
                    ? Trainer<B>(model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}},
                                 AdamWOptions{.learning_rate = learning_rate})
                    : Trainer<B>(model, select_all(model.graph()), AdamWOptions{.learning_rate = learning_rate})) {
    backend.reset();
  }

  TrainingReport fit(FitOptions options) {
    options.batch_size = 2;
    options.seed = 3;
    options.validation = validation;
    return trainer.fit(examples, options);
  }

  B backend{1};
  Model<B> model;
  std::vector<Example> examples = counting_examples(11), validation = counting_examples(5);
  Trainer<B> trainer;
};

/// Takes these values one after the other.
RunMetric scripted(std::vector<double> values, bool larger_is_better = true) {
  return {.name = "scripted",
          .larger_is_better = larger_is_better,
          .take = [values = std::move(values), next = std::size_t{0}]() mutable -> std::optional<MetricValue> {
            return MetricValue{.value = values.at(next++), .flops = 7};
          }};
}

constexpr Interval every_step{1, Interval::Unit::steps}, every_second_step{2, Interval::Unit::steps};

}  // namespace

TEST_CASE("evaluations on the way are those of the weights after these steps, and change nothing of the run") {
  for (const bool chooses : {false, true}) {
    CAPTURE(chooses);
    Run plain(1e-3, chooses), evaluated(1e-3, chooses);
    const TrainingReport without = plain.fit({.epochs = 2});
    std::vector<double> told;
    FitOptions options{.epochs = 2, .evaluate_every = every_second_step};
    options.on_evaluation = [&](const EvaluationRecord& record) { told.push_back(record.loss); };
    const TrainingReport with = evaluated.fit(options);
    CHECK(weights_of(evaluated.model) == weights_of(plain.model));
    CHECK(with.loss_before == without.loss_before);
    CHECK(with.loss_after == without.loss_after);
    CHECK(with.spent() == without.spent());
    CHECK(with.flops.evaluation > without.flops.evaluation);
    const auto& f = with.flops;
    CHECK(evaluated.backend.flops() == f.train + f.importance + f.optimizer + f.evaluation);

    REQUIRE(with.evaluations.size() == 7);  // of 12 steps
    REQUIRE(told.size() == 7);
    for (std::size_t i = 0; i < 7; ++i) {
      CHECK(with.evaluations[i].step == static_cast<Extent>(2 * i));
      CHECK(told[i] == with.evaluations[i].loss);
      CHECK_FALSE(with.evaluations[i].best);
      Run shorter(1e-3, chooses);
      options.on_evaluation = {};
      options.should_stop = [&] { return shorter.trainer.steps_done() == with.evaluations[i].step; };
      options.evaluate = Evaluations::none;
      options.evaluate_every = std::nullopt;
      shorter.fit(options);
      CHECK(evaluate(shorter.model, shorter.validation).loss == with.evaluations[i].loss);
    }
    CHECK(with.best() == nullptr);
  }
}

TEST_CASE("no budget pays for evaluations") {
  Run plain, evaluated;
  const RunBudget half{.share_of_full = 0.5};
  const TrainingReport without = plain.fit({.epochs = 2, .budget = half});
  const TrainingReport with = evaluated.fit({.epochs = 2, .budget = half, .evaluate_every = every_step});
  CHECK(with.steps == without.steps);
  CHECK(with.spent() == without.spent());
  CHECK(with.evaluations.size() == static_cast<std::size_t>(with.steps + 1));
  CHECK(weights_of(evaluated.model) == weights_of(plain.model));
}

TEST_CASE("a run ends with the weights of its best evaluation, whatever was trained since") {
  // Of 0, 1, ... steps. Before training nothing is best; of equals the first is.
  const std::vector<double> values = {9, 1, 2, 4, 4, 3, 2, 1, 0, 3, 1, 2, 3};
  for (const bool larger : {true, false}) {
    CAPTURE(larger);
    const Extent expected = larger ? 3 : 8;
    Run kept;
    const TrainingReport report =
        kept.fit({.epochs = 2, .evaluate_every = every_step, .keep_best = scripted(values, larger)});
    CHECK(report.steps == 12);
    REQUIRE(report.best() != nullptr);
    CHECK(report.best()->step == expected);
    CHECK(report.since_best() == 12 - expected);
    CHECK(report.memory.best_weights > 0);
    const auto& f = report.flops;
    CHECK(kept.backend.flops() + 13 * 7 == f.train + f.importance + f.optimizer + f.evaluation);

    Run shorter;
    FitOptions options{.epochs = 2, .evaluate = Evaluations::none};
    options.should_stop = [&] { return shorter.trainer.steps_done() == expected; };
    shorter.fit(options);
    CHECK(weights_of(kept.model) == weights_of(shorter.model));
    CHECK(*report.loss_after == evaluate(kept.model, kept.validation).loss);  // what is reported is what there is
  }
}

TEST_CASE("what is best by the loss is what evaluating every state says") {
  Run kept(0.05);
  const TrainingReport report = kept.fit({.epochs = 2, .evaluate_every = every_step, .keep_best = RunMetric{}});
  Run by_hand(0.05);
  double least = std::numeric_limits<double>::infinity();
  Weights best;
  FitOptions options{.epochs = 2, .evaluate = Evaluations::none};
  options.on_step = [&](const StepRecord&) {
    const double loss = evaluate(by_hand.model, by_hand.validation).loss;
    if (loss >= least) return;
    least = loss;
    best = weights_of(by_hand.model);
  };
  by_hand.fit(options);
  CHECK(weights_of(kept.model) == best);
  CHECK(*report.loss_after == least);
  CHECK(report.best()->loss == least);
}

TEST_CASE("the last weights are evaluated, too, where the best are kept") {
  Run kept;
  const TrainingReport report = kept.fit({.steps = 5,
                                          .evaluate = Evaluations::none,
                                          .evaluate_every = every_second_step,
                                          .keep_best = scripted({1, 2, 3})});
  REQUIRE(report.evaluations.size() == 3);
  CHECK(report.best()->step == 5);
  CHECK_FALSE(report.loss_after.has_value());
}

TEST_CASE("a run ends after as many evaluations without a better one as patience allows") {
  for (const Extent patience : {1, 2, 3, 4}) {
    CAPTURE(patience);
    Run run;
    const TrainingReport report = run.fit({.epochs = 2,
                                           .evaluate_every = every_step,
                                           .keep_best = scripted({0, 1, 2, 1, 3, 2, 1, 4, 3, 2, 1, 3, 3}),
                                           .patience = patience});
    // Best after steps 2, 4, 7: one worse, two worse, then five to the end of 12 steps.
    CHECK(report.steps == (patience == 1 ? 3 : patience == 2 ? 6 : 7 + patience));
    CHECK(report.best()->step == (patience == 1 ? 2 : patience == 2 ? 4 : 7));
    CHECK(report.patience_over);
    CHECK(report.since_best() == patience);
    CHECK_FALSE(report.stopped);
  }
  Run patient;
  const TrainingReport report =
      patient.fit({.steps = 4, .evaluate_every = every_step, .keep_best = scripted({0, 2, 1, 1, 1}), .patience = 3});
  CHECK(report.steps == 4);
  CHECK_FALSE(report.patience_over);  // all was done
}

TEST_CASE("a metric that is no number is an error, and one that is stopped ends the run without a trace") {
  Run run;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(run.fit({.steps = 3, .evaluate_every = every_step, .keep_best = scripted({0, nan})}), NumericalError);
  Run stopped;
  const TrainingReport report =
      stopped.fit({.steps = 3,
                   .evaluate_every = every_step,
                   .keep_best = RunMetric{.name = "stopped", .take = [&]() -> std::optional<MetricValue> {
                                            if (stopped.trainer.steps_done() == 2) return std::nullopt;
                                            return MetricValue{};
                                          }}});
  CHECK(report.stopped);
  CHECK(report.steps == 2);
  CHECK(report.evaluations.size() == 2);
}

TEST_CASE("a run tells of steps, selections, evaluations and saves in their order") {
  const TemporaryFolder folder;
  Run run;
  std::string events;
  FitOptions options{.steps = 4, .evaluate_every = every_second_step};
  options.on_step = [&](const StepRecord& r) {
    events += " step" + std::to_string(r.step);
    if (r.step == 3) run.trainer.save(folder / "state");
  };
  options.on_selection = [&](const SelectionRecord& r) { events += " selection" + std::to_string(r.step); };
  options.on_evaluation = [&](const EvaluationRecord& r) { events += " evaluation" + std::to_string(r.step); };
  options.on_save = [&](const std::filesystem::path& path) {
    CHECK(path == folder / "state");
    events += " save";
  };
  run.fit(options);
  CHECK(events == " evaluation0 selection0 step1 step2 evaluation2 step3 save selection3 step4 evaluation4");
  CHECK_THROWS_AS(run.trainer.save(folder / "state"), ConfigError);  // it is over
}
