// Evaluation: the mean over labelled tokens, the same for any batch size, and stopped when it is asked to.

#include "greentrainer/train/evaluation.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/golden_model.hpp"
#include "support/tiny_models.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;

namespace {

struct Fixture {
  EigenBackend<float> backend{2};
  TensorGraph<EigenBackend<float>> graph = testing::encoder_decoder_graph<EigenBackend<float>>(50, 16, 4);
  Model<EigenBackend<float>> model{backend, std::move(graph), ModelFacts{"encoder-decoder", 50, 64, {}, TargetShift{}}};
  std::vector<Example> examples;

  Fixture() {
    testing::randomize(model, 5);
    CounterRandom random(6, "examples");
    const auto ids = [&](std::size_t n) {
      std::vector<Index> all(n);
      for (Index& id : all) id = static_cast<Index>(random.below(50));
      return all;
    };
    for (std::size_t i = 0; i < 11; ++i)
      examples.push_back(encoder_decoder_example(ids(3 + i % 4), ids(2 + i % 5), TargetShift{}));
  }
};

}  // namespace

TEST_CASE("the loss is the mean over all labelled tokens, the same for any batch size") {
  Fixture f;
  const Evaluation all = evaluate(f.model, f.examples, {.batch_size = 16});
  REQUIRE(all.examples.size() == 11);
  double sum = 0;
  Extent tokens = 0;
  for (std::size_t i = 0; i < 11; ++i) {
    CHECK(all.examples[i].tokens == static_cast<Extent>(2 + i % 5));
    sum += all.examples[i].loss * static_cast<double>(all.examples[i].tokens);
    tokens += all.examples[i].tokens;
    CHECK(evaluate(f.model, std::span<const Example>(&f.examples[i], 1)).loss ==
          doctest::Approx(all.examples[i].loss).epsilon(1e-6));
  }
  CHECK(all.tokens == tokens);
  CHECK(all.loss == doctest::Approx(sum / static_cast<double>(tokens)).epsilon(1e-6));
  CHECK(all.perplexity() == doctest::Approx(std::exp(all.loss)));
  for (const Extent batch_size : {1, 3, 11})
    CHECK(evaluate(f.model, f.examples, {.batch_size = batch_size}).loss == doctest::Approx(all.loss).epsilon(1e-6));
}

TEST_CASE("an evaluation without labelled tokens throws DataError") {
  Fixture f;
  CHECK_THROWS_AS(evaluate(f.model, std::span<const Example>{}), DataError);
  Example without_labels = f.examples.front();
  without_labels.labels.assign(without_labels.labels.size(), ignore_label);
  CHECK_THROWS_AS(evaluate(f.model, std::span<const Example>(&without_labels, 1)), DataError);
}

TEST_CASE("asked to stop, an evaluation ends with what it has seen, and so does a run that evaluates") {
  Fixture f;
  int asked = 0;
  const Evaluation part = evaluate(f.model, f.examples, {.batch_size = 4, .should_stop = [&] { return ++asked > 2; }});
  CHECK(part.examples.size() == 8);
  CHECK(part.loss > 0);
  CHECK(evaluate(f.model, f.examples, {.batch_size = 4, .should_stop = [] { return true; }}).tokens == 0);

  Trainer<EigenBackend<float>> trainer(f.model, select_all(f.model.graph()), SgdOptions{.learning_rate = 0.01});
  for (const int after : {1, 4}) {  // in the first evaluation, of two passes; in the last one, behind two steps
    CAPTURE(after);
    asked = 0;
    const TrainingReport report =
        trainer.fit(f.examples, {.steps = 2, .batch_size = 4, .should_stop = [&] { return ++asked > after; }});
    CHECK(report.stopped);
    CHECK(report.steps == (after == 1 ? 0 : 2));
  }
}

TEST_CASE("a run evaluates when it is asked to, a sample of training examples or all validation examples") {
  EigenBackend<float> backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(250);
  const auto fit = [&](FitOptions options) {
    options.steps = 1;
    return Trainer<EigenBackend<float>>(model, select_all(model.graph()), SgdOptions{.learning_rate = 1e-9})
        .fit(examples, options);
  };
  std::vector<Example> drawn;  // number 250 i / 100
  for (std::size_t i = 0; i < 100; ++i) drawn.push_back(examples[5 * i / 2]);
  const double of_drawn = evaluate(model, drawn).loss;

  std::size_t passes = 0, last = 0;
  const TrainingReport usual = fit({.on_evaluation_pass = [&](const EvaluationProgress& now) {
    passes += now.after ? 0 : 1;
    CHECK(now.of == 100);
    last = now.done;
  }});
  CHECK(*usual.loss_before == of_drawn);
  CHECK(usual.loss_after.has_value());
  CHECK(usual.evaluated.examples == 100);
  CHECK(usual.evaluated.of == 250);
  CHECK_FALSE(usual.evaluated.held_out);
  CHECK(passes == 13);
  CHECK(last == 100);

  const TrainingReport held_out = fit({.validation = examples, .evaluate = Evaluations::before});
  CHECK(*held_out.loss_before == doctest::Approx(evaluate(model, examples).loss).epsilon(1e-6));
  CHECK_FALSE(held_out.loss_after.has_value());
  CHECK(held_out.evaluated.examples == 250);
  CHECK(held_out.evaluated.held_out);

  CHECK(fit({.validation = examples, .evaluation_examples = 7}).evaluated.examples == 7);
  const TrainingReport none = fit({.evaluate = Evaluations::none});
  CHECK_FALSE(none.loss_before.has_value());
  CHECK_FALSE(none.loss_after.has_value());
  CHECK(none.flops.evaluation == 0);
  CHECK_FALSE(fit({.evaluate = Evaluations::after}).loss_before.has_value());
}
