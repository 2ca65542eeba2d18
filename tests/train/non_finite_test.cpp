// What is infinite or no number is caught in the step that makes it, before it reaches the weights, by its name.

#include <cmath>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using namespace greentrainer::testing;

namespace {

/// Computes as Eigen does, but hands back an infinite number in one element of the weight gradient of a product, once,
/// when so many products with an accumulated result have been made: the loss stays what it was.
class OverflowingBackend : public EigenBackend<float> {
 public:
  explicit OverflowingBackend(int fails_at) : EigenBackend<float>(1), fails_at_(fails_at) {}

  void matmul(Matrix<const float> x, Transpose tx, Matrix<const float> y, Transpose ty, Matrix<float> z, Write write) {
    EigenBackend<float>::matmul(x, tx, y, ty, z, write);
    if (write == Write::accumulate && tx == Transpose::yes && seen_++ == fails_at_)
      z.data[z.stride] = std::numeric_limits<float>::infinity();
  }
  int seen() const { return seen_; }

 private:
  int fails_at_, seen_ = 0;
};

Trainer<OverflowingBackend> full(Model<OverflowingBackend>& model) {
  return Trainer<OverflowingBackend>(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3});
}

const FitOptions four_steps{.steps = 4, .batch_size = 4, .evaluate = Evaluations::none};

}  // namespace

TEST_CASE("an infinite gradient under a finite loss never reaches the weights, and is named with its tensor") {
  const auto examples = counting_examples(16);
  OverflowingBackend counted(-1);
  auto unharmed = tiny_model(counted, "opt-pre");
  auto calm = full(unharmed);
  calm.start(examples, four_steps);
  REQUIRE(calm.step());
  const int in_a_step = counted.seen();
  REQUIRE(in_a_step > 8);
  const auto after_one = weights_of(unharmed);

  OverflowingBackend backend(in_a_step + 3);  // in the second step
  auto model = tiny_model(backend, "opt-pre");
  auto trainer = full(model);
  trainer.start(examples, four_steps);
  REQUIRE(trainer.step());
  const std::string message = error_of<NumericalError>([&] { trainer.step(); });
  CAPTURE(message);
  CHECK(has(message, "[fit] step 2: expected a finite loss and finite gradients, got 1 of "));
  CHECK(has(message, " elements of the gradient of model.decoder.layers."));
  CHECK(has(message, "on_nan"));
  CHECK(weights_of(model) == after_one);
  CHECK(trainer.steps_done() == 1);
  while (trainer.step()) {  // the backend fails once alone: the run can go on
  }
  while (calm.step()) {
  }
  CHECK(weights_of(model) == weights_of(unharmed));
}

TEST_CASE("a skipped step changes nothing and is counted, also by a run that is saved and continued") {
  const auto examples = counting_examples(16);
  FitOptions options = four_steps;
  options.on_nan = OnNonFinite::skip;
  const TemporaryFolder folder;
  OverflowingBackend backend(3);
  auto model = tiny_model(backend, "opt-pre");
  const auto before = weights_of(model);
  auto trainer = full(model);
  trainer.start(examples, options);
  REQUIRE(trainer.step());
  CHECK(weights_of(model) == before);
  CHECK(trainer.report().skipped == 1);
  CHECK(trainer.report().steps == 0);
  CHECK(trainer.report().history.front().skipped);
  CHECK(std::isfinite(trainer.report().history.front().loss));
  REQUIRE(trainer.step());
  CHECK(weights_of(model) != before);
  trainer.save(folder / "state");

  OverflowingBackend other(-1);
  auto again = tiny_model(other, "opt-pre");
  auto continued = full(again);
  continued.start(examples, options);
  continued.load(folder / "state");
  for (auto* one : {&trainer, &continued}) {
    while (one->step()) {
    }
    const TrainingReport report = one->finish();
    CHECK(report.steps == 3);
    CHECK(report.skipped == 1);
    CHECK(report.history.size() == 4);
  }
  CHECK(weights_of(again) == weights_of(model));
}

TEST_CASE("weights that overflow are named by the operator that first does, and skips are bounded") {
  using B = CountingBackend<EigenBackend<float>>;
  const auto examples = counting_examples(16);
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto id = *model.graph().find("model.decoder.layers.1.fc1.weight");
  auto weights = model.parameters()[id].download();
  weights[5] = std::numeric_limits<float>::infinity();
  model.parameters()[id].upload(weights);
  const auto before = weights_of(model);
  FitOptions options = four_steps;
  options.on_nan = OnNonFinite::skip;
  options.most_skipped = 2;
  Trainer<B> trainer(model, select_biases(model.graph()), AdamWOptions{});
  trainer.start(examples, options);
  backend.reset();
  REQUIRE(trainer.step());
  REQUIRE(trainer.step());
  const TrainingReport report = trainer.report();
  CHECK(report.skipped == 2);
  CHECK(report.flops.optimizer == 0);
  CHECK(backend.flops() == report.flops.train);
  const std::string message = error_of<NumericalError>([&] { trainer.step(); });
  CAPTURE(message);
  CHECK(has(message, "step 3: "));
  CHECK(has(message, "from operator model.decoder.layers.1.fc1 (linear, forward) on"));
  CHECK(has(message, "2 steps were skipped before"));
  const auto after = weights_of(model);
  for (std::size_t p = 0; p < before.size(); ++p) {
    if (p != static_cast<std::size_t>(id)) CHECK(after[p] == before[p]);
  }
}

TEST_CASE("a step that trains everything for its importances is never skipped") {
  const auto examples = counting_examples(16);
  OverflowingBackend backend(3);
  auto model = tiny_model(backend, "opt-pre");
  Trainer<OverflowingBackend> trainer(
      model, GreenOptions{.flops_ratio = 0.8, .importance = "first-order", .importance_step = true}, AdamWOptions{});
  FitOptions options = four_steps;
  options.on_nan = OnNonFinite::skip;
  CHECK_THROWS_AS(trainer.fit(examples, options), NumericalError);
}
