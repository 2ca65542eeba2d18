// A run with any optimizer takes the FLOPs and the memory that were planned, learns, and goes on from its saved state
// to the bit.

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

/// Calls visit(name, options) for optimizers whose state or steps the others' do not have.
template <class Visit>
void for_each_optimizer(Visit&& visit) {
  visit("lion", LionOptions{.learning_rate = 1e-3, .weight_decay = 0.1});
  visit("rmsprop", RmsPropOptions{.learning_rate = 1e-3, .momentum = 0.5});
  visit("adagrad", AdagradOptions{.learning_rate = 1e-2, .lr_decay = 0.1});
  visit("adafactor", AdafactorOptions{.learning_rate = 2e-2, .weight_decay = 0.1});
}

const GreenOptions green = {.flops_ratio = 0.6, .reselect_every = {3, Interval::Unit::steps}};

}  // namespace

TEST_CASE("a run with any optimizer learns, and takes the FLOPs and at most the memory that were planned") {
  for_each_optimizer([&](const std::string& name, const auto& optimizer) {
    CAPTURE(name);
    B backend(1);
    auto model = tiny_model(backend, "llama-gqa-tied");
    const auto examples = counting_examples(11);
    Trainer<B> trainer(model, green, optimizer);
    backend.reset();
    const TrainingReport report =
        trainer.fit(examples, {.epochs = 4, .batch_size = 3, .budget = {.share_of_full = 0.9}, .clip_norm = 1});
    const auto& flops = report.flops;
    CHECK(backend.flops() == flops.train + flops.recomputed + flops.importance + flops.optimizer + flops.evaluation);
    CHECK(flops.train + flops.importance + flops.optimizer <= report.plan.planned);
    CHECK(backend.memory().peak <= report.memory.peak());
    CHECK(static_cast<double>(backend.memory().peak) > 0.9 * static_cast<double>(report.memory.peak()));
    CHECK(*report.loss_after < *report.loss_before);
    CHECK(trainer.optimizer().state_bytes() > 0);
  });
}

TEST_CASE("a run with any optimizer goes on from where it was saved to the bit, state of other shapes included") {
  for_each_optimizer([&](const std::string& name, const auto& optimizer) {
    CAPTURE(name);
    const auto examples = counting_examples(11);
    const FitOptions options{.epochs = 2, .batch_size = 3, .evaluate = Evaluations::none};
    const TemporaryFolder folder;
    B backend(1);
    auto whole = tiny_model(backend, "llama-gqa-tied");
    {
      Trainer<B> trainer(whole, green, optimizer);
      trainer.start(examples, options);
      for (int step = 0; trainer.step(); ++step) {
        if (step == 4) trainer.save(folder / "state");
      }
      trainer.finish();
    }
    auto model = tiny_model(backend, "llama-gqa-tied");
    Trainer<B> trainer(model, green, optimizer);
    trainer.start(examples, options);
    trainer.load(folder / "state");
    CHECK(trainer.steps_done() == 5);
    while (trainer.step()) {
    }
    trainer.finish();
    CHECK(weights_of(model) == weights_of(whole));
    // Another optimizer's state is refused.
    Trainer<B> other(model, green, SgdOptions{.momentum = 0.9});
    other.start(examples, options);
    CHECK_THROWS_AS(other.load(folder / "state"), Error);
  });
}
