// The step at which tensors are chosen trains everything, and its gradients are those that importance is taken from.

#include <algorithm>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

GreenOptions in_step(double rho, Extent every) {
  return {.flops_ratio = rho,
          .importance = "first-order",
          .importance_step = true,
          .reselect_every = {every, Interval::Unit::steps}};
}

struct Run {
  TrainingReport report;
  std::vector<std::vector<float>> weights;
  Flops counted = 0;
};

/// Prepared by `prepare` (a selector, say).
template <class Choice, class OptimizerOptions, class Prepare>
Run run(const char* name, const Choice& choice, const OptimizerOptions& optimizer, const FitOptions& options,
        const Prepare& prepare, int threads = 2) {
  B backend(threads);
  auto model = tiny_model(backend, name);
  const auto examples = counting_examples(11);
  Trainer<B> trainer(model, choice(model), optimizer);
  prepare(trainer);
  backend.reset();
  Run result;
  result.report = trainer.fit(examples, options);
  result.counted = backend.flops();
  result.weights = weights_of(model);
  return result;
}

const auto as_it_is = [](Trainer<B>&) {};
const auto everything = [](const Model<B>& model) { return select_all(model.graph()); };
const auto green = [](const GreenOptions& options) { return [options](const Model<B>&) { return options; }; };

/// Stops after so many steps of a longer run, which has its schedule and its budgets.
FitOptions stopped_after(Extent steps, FitOptions options) {
  auto done = std::make_shared<Extent>(0);
  options.on_step = [done](const StepRecord&) { ++*done; };
  options.should_stop = [done, steps] { return *done == steps; };
  return options;
}

}  // namespace

TEST_CASE("the step that measures importance is one of full fine-tuning, to the bit") {
  const auto check = [](const char* name, const auto& optimizer, const FitOptions& options) {
    CAPTURE(name);
    const Run full = run(name, everything, optimizer, stopped_after(1, options), as_it_is);
    const Run measured = run(name, green(in_step(0.7, 6)), optimizer, stopped_after(1, options), as_it_is, 3);
    REQUIRE(measured.report.history.size() == 1);
    CHECK(measured.weights == full.weights);
    CHECK(measured.report.history[0].loss == full.report.history[0].loss);
    CHECK(measured.report.history[0].gradient_norm == full.report.history[0].gradient_norm);
    CHECK(measured.report.history[0].flops == full.report.history[0].flops);
    CHECK(measured.report.history[0].in_full);
    CHECK_FALSE(full.report.history[0].in_full);
  };
  const FitOptions plain{.steps = 6, .batch_size = 2, .evaluate = Evaluations::none};
  FitOptions all = plain;
  all.gradient_accumulation = 2;
  all.clip_norm = 1e-3;
  all.schedule.warmup_steps = 3;
  for (const char* name : {"llama-gqa-tied", "opt-pre", "opt-post", "bloom"}) {
    check(name, AdamWOptions{.learning_rate = 1e-3}, plain);
    check(name, AdamWOptions{.learning_rate = 1e-3}, all);
    check(name, SgdOptions{.learning_rate = 1e-2, .momentum = 0.9, .weight_decay = 0.1}, all);
  }
}

TEST_CASE("importances of the step's own gradients are those of a pass of its own") {
  for (const char* name : {"llama-gqa-tied", "opt-pre", "bloom"}) {
    CAPTURE(name);
    const FitOptions options{.steps = 4, .batch_size = 3, .evaluate = Evaluations::none};
    GreenOptions separate = in_step(0.7, 4);
    separate.importance_step = false;
    const AdamWOptions optimizer{.learning_rate = 1e-3};
    const Run one = run(name, green(separate), optimizer, options, as_it_is);
    const Run other = run(name, green(in_step(0.7, 4)), optimizer, options, as_it_is);
    REQUIRE(one.report.selections.size() == 1);
    REQUIRE(other.report.selections.size() == 1);
    CHECK(one.report.selections[0].importance == other.report.selections[0].importance);
    CHECK(other.report.selections[0].step == 1);
    CHECK(other.report.flops.importance < one.report.flops.importance / 2);
  }
}

TEST_CASE("the ratio until the next selection holds the step that trains everything, and what is counted is reported") {
  for (const double rho : {0.6, 0.75}) {
    for (const PrefixCacheMode cache : {PrefixCacheMode::off, PrefixCacheMode::memory}) {
      CAPTURE(rho);
      const FitOptions options{
          .steps = 15, .batch_size = 2, .gradient_accumulation = 2, .clip_norm = 1e-2, .prefix_cache = cache};
      const Run result =
          run("llama-mha-untied", green(in_step(rho, 5)), AdamWOptions{.learning_rate = 1e-3}, options, as_it_is);
      const TrainingReport& r = result.report;
      CHECK(result.counted == r.flops.train + r.flops.importance + r.flops.optimizer + r.flops.evaluation);
      REQUIRE(r.history.size() == 15);
      REQUIRE(r.selections.size() == 3);
      for (std::size_t first = 0; first < 15; first += 5) {
        CAPTURE(first);
        Flops spent = 0, full = 0;
        for (std::size_t step = first; step < first + 5; ++step) {
          CHECK(r.history[step].in_full == (step == first));
          spent += r.history[step].flops;
          full += r.history[step].full_flops;
        }
        CHECK(r.history[first].flops == r.history[first].full_flops);
        CHECK(static_cast<double>(spent) <= rho * static_cast<double>(full));
        CHECK(static_cast<double>(spent) > (rho - 0.1) * static_cast<double>(full));
        CHECK(r.selections[first / 5].step == static_cast<Extent>(first) + 1);
      }
    }
  }
}

TEST_CASE("a cached prefix is not read after the step that trains below it") {
  // The same tensors whatever they cost, since a cache would otherwise buy others.
  for (const char* name : {"llama-gqa-tied", "opt-pre", "bloom"}) {
    CAPTURE(name);
    const auto last_layer = [](Trainer<B>& trainer) {
      trainer.use_selector(SelectFunction([](const SelectionProblem& problem) {
        std::vector<bool> mask(problem.dag.items.size(), false);
        std::vector<std::int64_t> depth;
        for (std::size_t i = 0; i < mask.size(); ++i) {
          std::vector<bool> one(mask.size(), false);
          one[i] = true;
          depth.push_back(cost_of(problem.dag, one) - problem.dag.items[i].cost);
        }
        std::vector<std::int64_t> sorted = depth;
        std::sort(sorted.begin(), sorted.end());
        for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = depth[i] <= sorted[2];
        return make_result(problem.dag, mask);
      }));
    };
    FitOptions options{.steps = 18, .batch_size = 2};
    const AdamWOptions optimizer{.learning_rate = 1e-2};
    const Run plain = run(name, green(in_step(0.9, 9)), optimizer, options, last_layer);
    options.prefix_cache = PrefixCacheMode::memory;
    const Run cached = run(name, green(in_step(0.9, 9)), optimizer, options, last_layer);
    REQUIRE(plain.report.selections.size() == 2);
    for (std::size_t s = 0; s < 2; ++s) {
      CHECK(plain.report.selections[s].names == cached.report.selections[s].names);
      CHECK_FALSE(cached.report.selections[s].cached_below.empty());
    }
    CHECK(cached.report.flops.saved_by_cache > 0);
    CHECK(plain.weights == cached.weights);
    for (std::size_t s = 0; s < plain.report.history.size(); ++s)
      CHECK(plain.report.history[s].loss == cached.report.history[s].loss);
  }
}

TEST_CASE("a ratio that cannot pay for the step that trains everything is refused before any step, with what could") {
  const FitOptions options{.steps = 9, .batch_size = 2, .evaluate = Evaluations::none};
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto before = weights_of(model);
  const auto examples = counting_examples(10);
  const AdamWOptions optimizer;
  CHECK_THROWS_AS(Trainer<B>(model, in_step(0.9, 1), optimizer).fit(examples, options), InfeasibleRatio);  // full alone
  // Of the last selection nothing but the full step is left.
  CHECK_THROWS_AS(Trainer<B>(model, in_step(0.9, 4), optimizer).fit(examples, options), InfeasibleRatio);
  double smallest = 0;
  try {
    Trainer<B>(model, in_step(0.4, 3), optimizer).fit(examples, options);
  } catch (const InfeasibleRatio& error) {
    smallest = error.smallest();
    CHECK(error.detail().find("the step that trains everything") != std::string::npos);
  }
  CHECK(smallest > 0.4);
  CHECK(weights_of(model) == before);
  CHECK_THROWS_AS(Trainer<B>(model, in_step(smallest - 2e-4, 3), optimizer).fit(examples, options), InfeasibleRatio);
  // Steps of other lengths need a little more or less.
  CHECK_NOTHROW(Trainer<B>(model, in_step(smallest + 0.05, 3), optimizer).fit(examples, options));
}

TEST_CASE("metrics that need more than a step's gradients are refused beside the step, by name") {
  EigenBackend<float> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  for (const char* metric : {"paper", "paper-per-weight", "adam-gain", "gradient-norm", "relative-gradient-norm",
                             "fisher", "magnitude", "random"}) {
    GreenOptions options = in_step(0.7, 4);
    options.importance = metric;
    CHECK_THROWS_WITH_AS((Trainer{model, options, AdamWOptions{}}), doctest::Contains(metric), ConfigError);
  }
  GreenOptions options = in_step(0.7, 4);
  options.importance_batches = 2;
  CHECK_THROWS_WITH_AS((Trainer{model, options, AdamWOptions{}}), doctest::Contains("importance_batches"), ConfigError);
  Trainer trainer{model, in_step(0.7, 4), AdamWOptions{}};
  CHECK_THROWS_AS(trainer.use_importance(make_importance<EigenBackend<float>>("paper")), ConfigError);
  CHECK_NOTHROW(trainer.use_importance(make_importance<EigenBackend<float>>("first-order")));
}
