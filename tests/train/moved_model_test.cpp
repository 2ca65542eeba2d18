// Objects that work on a model keep working when it is moved, and when they are moved themselves.

#include <chrono>
#include <memory>
#include <thread>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/generate/generate.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;
using B = EigenBackend<float>;

namespace {

const GreenOptions green{.flops_ratio = 0.6, .reselect_every = {2, Interval::Unit::steps}};
const FitOptions fit{.steps = 6, .batch_size = 4};

auto expected_weights() {
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  Trainer(model, green, AdamWOptions{.learning_rate = 1e-3}).fit(counting_examples(16), fit);
  return weights_of(model);
}

}  // namespace

TEST_CASE("a model that is moved between and within runs is trained as if it had stayed") {
  const auto examples = counting_examples(16);
  const auto expected = expected_weights();
  B backend(1);
  auto original = std::make_unique<Model<B>>(tiny_model(backend, "llama-gqa-tied"));
  Trainer<B> trainer(*original, green, AdamWOptions{.learning_rate = 1e-3});
  std::unique_ptr<Model<B>> moved;
  FitOptions options = fit;
  options.on_step = [&](const StepRecord& record) {
    if (record.step != 3) return;
    moved = std::make_unique<Model<B>>(std::move(*original));
    original.reset();
  };
  trainer.fit(examples, options);
  REQUIRE(moved);
  CHECK(weights_of(*moved) == expected);
}

TEST_CASE("a trainer that is moved, with its parts replaced or not, trains the same model") {
  const auto examples = counting_examples(16);
  const auto expected = expected_weights();
  for (const bool replaced : {false, true}) {
    CAPTURE(replaced);
    B backend(1);
    auto model = tiny_model(backend, "llama-gqa-tied");
    auto first = std::make_unique<Trainer<B>>(model, green, AdamWOptions{.learning_rate = 1e-3});
    if (replaced) first->use_cost_model(ExactCost<B>{});
    Trainer<B> trainer = std::move(*first);
    first.reset();
    Model<B> elsewhere = std::move(model);
    trainer.fit(examples, fit);
    CHECK(weights_of(elsewhere) == expected);
  }
}

TEST_CASE("a trainer and a generator outlive the handle that they were made with") {
  B backend(1);
  auto model = std::make_unique<Model<B>>(tiny_model(backend, "llama-gqa-tied"));
  const std::vector<std::vector<Index>> prompts = {{1, 2, 3}};
  const GenerateOptions options{.max_new_tokens = 8};
  const auto expected = generate(*model, prompts, options)[0].ids;
  Generator<B> generator(*model, options);
  Trainer<B> trainer(*model, select_all(model->graph()), AdamWOptions{.learning_rate = 1e-12});
  model.reset();
  CHECK(generator(prompts)[0].ids == expected);
  CHECK(trainer.fit(counting_examples(8), fit).steps == 6);
}

TEST_CASE("a caller's evaluation after each step is in none of the report's seconds and FLOPs") {
  B backend(1);
  auto model = tiny_model(backend, "llama-gqa-tied");
  const auto examples = counting_examples(8);
  const auto run = [&](bool evaluates) {
    Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3});
    FitOptions options{.steps = 4, .batch_size = 2, .evaluate = Evaluations::none};
    if (evaluates) {
      options.on_step = [&](const StepRecord&) {
        for (int i = 0; i < 20; ++i) evaluate(model, examples);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      };
    }
    return trainer.fit(examples, options);
  };
  const TrainingReport alone = run(false), with = run(true);
  CHECK(with.seconds.callbacks >= 0.2);
  CHECK(alone.seconds.callbacks == 0);
  CHECK(with.flops.train == alone.flops.train);
  CHECK(with.flops.evaluation == 0);
  // 4 steps of 2 examples against 80 evaluations of 8: counted in, forward would be a hundred times backward.
  CHECK(with.seconds.forward < 10 * with.seconds.backward);
  double steps = 0;
  for (const StepRecord& step : with.history) steps += step.seconds;
  CHECK(with.seconds.forward + with.seconds.backward <= steps);
  CHECK(with.seconds.total >= steps);
  CHECK(with.seconds.evaluation == 0);
}
