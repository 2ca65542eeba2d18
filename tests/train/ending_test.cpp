// A run whose last steps go through another graph over the same weights: exact gradients behind approximate ones.

#include "greentrainer/train/ending.hpp"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/models/detached_context.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::error_of;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;
constexpr AdamWOptions adamw{.learning_rate = 1e-3};

struct Result {
  TrainingReport report;
  std::vector<std::vector<float>> weights;
  Flops counted = 0;  ///< by the backend, of all passes and updates
};

/// 24 steps of batches of 2, without evaluation. Trains everything.
struct Session {
  explicit Session(ContextGradients left = ContextGradients::keys)
      : detached(with_detached_context(model, left)), trainer(detached, select_all(model.graph()), adamw) {}

  Result run(FitOptions options = {}) {
    options.epochs = 4;
    options.batch_size = 2;
    options.seed = 3;
    options.evaluate = Evaluations::none;
    backend.reset();
    TrainingReport report = trainer.fit(examples, options);
    return {.report = std::move(report), .weights = weights_of(model), .counted = backend.flops()};
  }

  B backend;
  Model<B> model = tiny_model(backend, "llama-gqa-tied");
  Model<B> detached;
  std::vector<Example> examples = counting_examples(12);
  Trainer<B> trainer;
};

Result exact_run() {
  Session session;
  session.trainer = Trainer<B>(session.model, select_all(session.model.graph()), adamw);
  return session.run();
}

std::vector<double> losses(const TrainingReport& report) {
  std::vector<double> all;
  for (const StepRecord& step : report.history) all.push_back(step.loss);
  return all;
}

}  // namespace

TEST_CASE("an ending of all steps is the run with exact gradients, to the bit") {
  Session session;
  session.trainer.use_ending(session.model, {.share = 1});
  const Result ended = session.run(), exact = exact_run();
  CHECK(ended.weights == exact.weights);
  CHECK(ended.report.flops.train == exact.report.flops.train);
  CHECK(ended.report.ending_steps == 24);
  CHECK(ended.report.selections.size() == 1);
}

TEST_CASE("steps before the ending are those of a run without it, and it costs what exact gradients cost") {
  for (const ContextGradients left : {ContextGradients::none, ContextGradients::keys}) {
    CAPTURE(static_cast<int>(left));
    Session plain(left), session(left);
    session.trainer.use_ending(session.model, {.share = 0.25});
    const Result ended = session.run(), without = plain.run(), exact = exact_run();
    const std::vector<double> now = losses(ended.report), before = losses(without.report);
    REQUIRE(now.size() == 24);
    for (std::size_t step = 0; step < 18; ++step) CHECK(now[step] == before[step]);
    CHECK(now[18] == doctest::Approx(before[18]).epsilon(1e-5));  // the same weights
    CHECK(now[20] != before[20]);
    CHECK(ended.weights != without.weights);
    CHECK(ended.report.ending_steps == 6);
    Flops expected = 0;
    for (std::size_t step = 0; step < 24; ++step) expected += (step < 18 ? without : exact).report.history[step].flops;
    CHECK(ended.report.flops.train == expected);
    CHECK(ended.counted == ended.report.flops.train + ended.report.flops.optimizer);
    REQUIRE(ended.report.selections.size() == 2);
    CHECK(ended.report.selections[1].step == 18);
    CHECK(ended.report.selections[1].names == ended.report.selections[0].names);
  }
}

TEST_CASE("a budget's rest becomes the longest ending that it pays for") {
  const Flops approximate = Session().run().report.spent(), exact = exact_run().report.spent();
  REQUIRE(approximate < exact);
  Extent last = 0;
  for (const double part : {0.0, 0.3, 0.8, 1.0, 2.0}) {
    CAPTURE(part);
    Session session;
    session.trainer.use_ending(session.model);
    const auto budget = approximate + static_cast<Flops>(part * static_cast<double>(exact - approximate));
    const Result ended = session.run({.budget = {.flops = budget}});
    const RunPlan& plan = ended.report.plan;
    CHECK(plan.steps == 24);
    CHECK(plan.planned == ended.report.spent());
    CHECK(plan.planned <= budget);
    CHECK(plan.ending_steps == ended.report.ending_steps);
    CHECK(plan.ending_steps >= last);
    last = plan.ending_steps;
    if (part == 0) CHECK(plan.ending_steps == 0);
    if (part == 1) CHECK(plan.ending_steps == 24);
    if (plan.ending_steps == 24) continue;
    Session longer;  // one step more would not fit
    longer.trainer.use_ending(longer.model, {.share = (static_cast<double>(plan.ending_steps) + 1) / 24});
    CHECK(longer.run().report.spent() > budget);
  }
}

TEST_CASE("a budget that is too small for all steps makes fewer of them, with an ending that is a share of these") {
  const Flops approximate = Session().run().report.spent();
  Session session;
  session.trainer.use_ending(session.model, {.share = 0.5});
  const Result ended = session.run({.budget = {.flops = approximate / 2, .cuts = BudgetCuts::steps}});
  CHECK(ended.report.spent() == ended.report.plan.planned);
  CHECK(ended.report.spent() <= approximate / 2);
  CHECK(ended.report.steps < 12);
  CHECK(ended.report.ending_steps == (ended.report.steps + 1) / 2);
}

TEST_CASE("a second run of a trainer begins with the model's gradients again") {
  Session session, twice;
  session.trainer.use_ending(session.model, {.share = 0.25});
  twice.trainer.use_ending(twice.model, {.share = 0.25});
  session.run();
  const Result second = session.run();
  CHECK(second.report.history[0].flops == twice.run().report.history[0].flops);
  CHECK(second.report.ending_steps == 6);
}

TEST_CASE("another ending may be given between two runs, and what is not finite is found in its graph") {
  Session session;
  session.trainer.use_ending(session.model, {.share = 1});
  session.run();
  Model<B> another = session.model.share();
  session.trainer.use_ending(another, {.share = 0.5});
  const ParameterId first = 0;
  const auto spoil = [&](const StepRecord& step) {
    if (step.step != 14) return;  // of the ending
    std::vector<float> weights = session.model.parameters()[first].download();
    weights.assign(weights.size(), std::numeric_limits<float>::quiet_NaN());
    session.model.parameters()[first].upload(weights);
  };
  const std::string error = error_of<NumericalError>([&] { session.run({.on_step = spoil}); });
  CAPTURE(error);
  CHECK(error.find("from operator ") != std::string::npos);
  CHECK(error.find(".context") == std::string::npos);
}

TEST_CASE("what an ending does not go with is refused by name") {
  Session session;
  auto& trainer = session.trainer;
  const auto says = [&](const auto& call, const std::string& words) {
    const std::string error = error_of<ConfigError>(call);
    CAPTURE(error);
    CHECK(error.find(words) != std::string::npos);
  };
  says([&] { trainer.use_ending(session.model, {.share = 0}); }, "share");
  says([&] { trainer.use_ending(session.model, {.share = 1.5}); }, "share");
  Session other;
  says([&] { trainer.use_ending(other.model); }, "weights of its own");
  Trainer<B> green(session.detached, GreenOptions{.flops_ratio = 0.6}, adamw);
  says([&] { green.use_ending(session.model); }, "fixed selection");

  trainer.use_ending(session.model);
  says([&] { session.run(); }, "budget");
  trainer.use_ending(session.model, {.share = 0.5});
  says([&] { session.run({.prefix_cache = PrefixCacheMode::memory}); }, "prefix_cache");
  trainer.use_passing({.every = Interval{2, Interval::Unit::steps}});
  says([&] { session.run(); }, "use_passing");
}
