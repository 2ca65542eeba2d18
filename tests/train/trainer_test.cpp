// Training keeps its budget, its determinism and its accounts.

#include "greentrainer/train/trainer.hpp"

#include <cstring>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

TEST_CASE_TEMPLATE("GreenTrainer keeps the FLOPs budget and learns", B, EigenBackend<float>,
                   OpaqueBackend<EigenBackend<float>>) {
  const auto examples = counting_examples(40);
  for (const char* name : {"opt-pre", "opt-post", "llama-gqa-tied"}) {
    for (const double rho : {0.45, 0.6}) {
      CAPTURE(name);
      CAPTURE(rho);
      B backend(2);
      auto model = tiny_model(backend, name);
      Trainer trainer{model, GreenOptions{.flops_ratio = rho, .reselect_every = {3, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 3e-3}};
      const auto report = trainer.fit(examples, {.epochs = 2, .batch_size = 4});
      CHECK(report.steps == 20);
      CHECK(report.selections.size() == 7);
      CHECK(report.loss_after < report.loss_before);
      CHECK(report.ratio() <= rho);
      CHECK(report.ratio() > rho - 0.05);  // two layers: tensors are coarse
      for (const auto& selection : report.selections) {
        CHECK(selection.cost <= selection.budget);
        CHECK(selection.optimal);
        CHECK(selection.importance.size() == model.graph().parameters().size());
      }
    }
  }
}

TEST_CASE("executed FLOPs of a whole run are those reported") {
  using B = CountingBackend<EigenBackend<float>>;
  B backend(2);
  auto model = tiny_model(backend, "llama-mha-untied");
  const auto examples = counting_examples(10);
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.5, .reselect_every = {2, Interval::Unit::steps}},
                  AdamWOptions{.learning_rate = 1e-3}};
  backend.reset();
  const auto report =
      trainer.fit(examples, {.epochs = 2, .batch_size = 2, .gradient_accumulation = 2, .clip_norm = 1e-3});
  CHECK(backend.flops() ==
        report.flops.train + report.flops.importance + report.flops.optimizer + report.flops.evaluation);
}

TEST_CASE("same seed, same bits, for any number of threads; another seed, others") {
  const auto examples = counting_examples(24);
  const auto train = [&](int threads, std::uint64_t seed) {
    EigenBackend<float> backend(threads);
    auto model = tiny_model(backend, "llama-gqa-tied");
    Trainer trainer{model, GreenOptions{.flops_ratio = 0.5}, AdamWOptions{.learning_rate = 1e-3}};
    trainer.fit(examples, {.epochs = 3, .batch_size = 3, .seed = seed});
    return weights_of(model);
  };
  const auto one = train(1, 9);
  CHECK(train(2, 9) == one);
  CHECK(train(5, 9) == one);
  CHECK(train(2, 10) != one);
}

TEST_CASE("accumulated passes make the same step as one large batch") {
  const auto examples = counting_examples(8);
  const auto train = [&](Extent batch, Extent accumulation) {
    EigenBackend<double> backend(2);
    auto model = tiny_model(backend, "opt-pre");
    Trainer trainer{model, select_all(model.graph()), SgdOptions{.learning_rate = 1e-2}};
    trainer.fit(
        examples,
        {.epochs = 2, .batch_size = batch, .gradient_accumulation = accumulation, .evaluate = Evaluations::none});
    return weights_of(model);
  };
  const auto a = train(8, 1), b = train(3, 3);  // 3 + 3 + 2 examples
  for (std::size_t p = 0; p < a.size(); ++p) {
    for (std::size_t i = 0; i < a[p].size(); ++i) CHECK(a[p][i] == doctest::Approx(b[p][i]).epsilon(1e-12).scale(1));
  }
}

TEST_CASE("optimizer state and gradients exist for selected parameters alone") {
  EigenBackend<float> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  AdamW<EigenBackend<float>> optimizer(backend, {});
  const Selection biases = select_biases(model.graph());
  Extent elements = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (biases.contains(id)) elements += model.graph().parameter(id).size();
  }
  optimizer.select(model.graph(), biases);
  CHECK(optimizer.state_bytes() == 8 * elements);
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (biases.contains(id)) optimizer.step(id, model.parameters()[id], model.parameters()[id], 0.1);
  }
  optimizer.select(model.graph(), select_none(model.graph()));
  CHECK(optimizer.state_bytes() == 0);
  optimizer.select(model.graph(), biases);  // comes back as if new: bias correction starts over with the moments
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    if (biases.contains(id)) CHECK(optimizer.updates(id) == 0);
  }

  Trainer trainer{model, biases, AdamWOptions{}};
  const auto before = weights_of(model);
  trainer.fit(counting_examples(4), {.steps = 2});
  CHECK(trainer.gradient_bytes() == 4 * elements);
  CHECK(trainer.optimizer().state_bytes() == 8 * elements);
  const auto after = weights_of(model);
  for (ParameterId id = 0; id < static_cast<ParameterId>(model.graph().parameters().size()); ++id) {
    const auto i = static_cast<std::size_t>(id);
    if (!biases.contains(id)) CHECK(before[i] == after[i]);
  }
}

TEST_CASE("a budget that cannot be met is refused with the smallest that can") {
  EigenBackend<float> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.2}, AdamWOptions{}};
  try {
    trainer.fit(counting_examples(4), {.steps = 1});
    FAIL("expected an InfeasibleRatio");
  } catch (const InfeasibleRatio& error) {
    const double smallest = error.smallest();
    CHECK(error.subject() == "flops_ratio");
    CHECK(smallest > 0.25);
    Trainer feasible{model, GreenOptions{.flops_ratio = smallest}, AdamWOptions{}};
    CHECK(feasible.fit(counting_examples(4), {.steps = 1}).ratio() <= smallest);
  }
}

TEST_CASE("clipping bounds the common norm as PyTorch does, and a diverging run is an error") {
  EigenBackend<double> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto before = weights_of(model);
  Trainer trainer{model, select_all(model.graph()), SgdOptions{.learning_rate = 1}};
  const auto report = trainer.fit(counting_examples(4), {.steps = 1,
                                                         .schedule = {.kind = LearningRateSchedule::Kind::constant},
                                                         .clip_norm = 1e-3,
                                                         .evaluate = Evaluations::none});
  CHECK(report.history[0].gradient_norm > 1e-3);
  const auto after = weights_of(model);
  double moved = 0;
  for (std::size_t p = 0; p < before.size(); ++p) {
    for (std::size_t i = 0; i < before[p].size(); ++i)
      moved += (after[p][i] - before[p][i]) * (after[p][i] - before[p][i]);
  }
  CHECK(std::sqrt(moved) == doctest::Approx(1e-3).epsilon(1e-3));

  Trainer wild{model, select_all(model.graph()), SgdOptions{.learning_rate = 1e30}};
  CHECK_THROWS_AS(wild.fit(counting_examples(4), {.steps = 20, .evaluate = Evaluations::none}), NumericalError);
}

TEST_CASE("token ids and lengths are checked before they reach a kernel") {
  EigenBackend<float> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  Trainer trainer{model, select_all(model.graph()), AdamWOptions{}};
  CHECK_THROWS_AS(trainer.fit(std::vector<Example>{{{1, 96}, {1, 2}, {}}}, {}), DataError);
  CHECK_THROWS_AS(trainer.fit(std::vector<Example>{{{1, -1}, {1, 2}, {}}}, {}), DataError);
  CHECK_THROWS_AS(trainer.fit(std::vector<Example>{{std::vector<Index>(200, 1), std::vector<Index>(200, 1), {}}}, {}),
                  DataError);
  CHECK_THROWS_AS(trainer.fit(std::vector<Example>{}, {}), DataError);
}

TEST_CASE(
    "a schedule of one's own is what the rates of the steps are, and the linear one written out is the same run") {
  const auto examples = counting_examples(12);
  const auto fit = [&](LearningRateSchedule schedule, std::vector<std::vector<float>>& weights) {
    EigenBackend<float> backend(1);
    auto model = tiny_model(backend, "opt-pre");
    Trainer trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
    const TrainingReport report = trainer.fit(examples, {.epochs = 2, .batch_size = 4, .schedule = schedule});
    weights = greentrainer::testing::weights_of(model);
    return report;
  };
  std::vector<std::vector<float>> linear, own;
  fit({}, linear);
  const TrainingReport report = fit(
      {.of_step = [](Extent step, Extent total) { return 1 - static_cast<double>(step) / static_cast<double>(total); }},
      own);
  CHECK(own == linear);
  for (const StepRecord& step : report.history)
    CHECK(step.learning_rate == doctest::Approx(1e-3 * (1 - static_cast<double>(step.step - 1) / 6)));
}
