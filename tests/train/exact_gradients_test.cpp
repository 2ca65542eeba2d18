// With exact sums, weights have the same bits for any number of ranks and threads, and any size of buckets.

#include "greentrainer/train/exact_gradients.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/parallel/thread_group.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using Float = EigenBackend<float>;

struct Outcome {
  TrainingReport report;
  std::vector<std::vector<float>> weights;
  Bytes sent = 0, gradients = 0;
};

/// On so many ranks, with so many threads each.
template <class Make, class MakeTrainer>
std::vector<Outcome> train_on(int ranks, int threads, const Make& make, const MakeTrainer& make_trainer,
                              const FitOptions& options) {
  const auto examples = counting_examples(22);
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  ThreadGroup(ranks).run([&](auto& communicator) {
    Float backend(threads);
    auto model = make(backend);
    auto trainer = make_trainer(model);
    trainer.use_communicator(communicator);
    Outcome& outcome = outcomes[static_cast<std::size_t>(communicator.rank())];
    trainer.start(examples, options);
    while (trainer.step()) outcome.gradients += trainer.gradient_bytes();
    outcome.report = trainer.finish();
    outcome.weights = weights_of(model);
    outcome.sent = trainer.ranks().sent(Traffic::gradients).bytes;
  });
  return outcomes;
}

const auto tiny_llama = [](auto& backend) { return tiny_model(backend, "llama-gqa-tied"); };
const auto train_all = [](auto& model) {
  return Trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
};
const auto train_green = [](auto& model) {
  return Trainer{
      model, GreenOptions{.flops_ratio = 0.5, .importance_batches = 3, .reselect_every = {2, Interval::Unit::steps}},
      AdamWOptions{.learning_rate = 1e-3}};
};
const FitOptions exact_options{
    .batch_size = 4, .gradient_accumulation = 2, .gradient_sums = GradientSums::exact, .clip_norm = 0.5};

/// One to four ranks, one to three threads and buckets of several sizes.
template <class Make, class MakeTrainer>
void check_same_bits(const Make& make, const MakeTrainer& make_trainer, const FitOptions& options) {
  const Outcome one = train_on(1, 1, make, make_trainer, options).front();
  CHECK(one.sent == 0);
  for (int ranks = 1; ranks <= 4; ++ranks) {
    CAPTURE(ranks);
    FitOptions own = options;
    own.exchange_bucket = std::array<Extent, 4>{1 << 20, 37, 1000, 1 << 14}[static_cast<std::size_t>(ranks - 1)];
    for (const Outcome& other : train_on(ranks, 1 + ranks % 3, make, make_trainer, own)) {
      CHECK(other.weights == one.weights);
      REQUIRE(other.report.history.size() == one.report.history.size());
      for (std::size_t i = 0; i < one.report.history.size(); ++i) {
        CHECK(other.report.history[i].loss == one.report.history[i].loss);
        CHECK(other.report.history[i].gradient_norm == one.report.history[i].gradient_norm);
        CHECK(other.report.history[i].flops == one.report.history[i].flops);
      }
      CHECK(other.report.loss_after == one.report.loss_after);
      REQUIRE(other.report.selections.size() == one.report.selections.size());
      for (std::size_t i = 0; i < one.report.selections.size(); ++i) {
        CHECK(other.report.selections[i].names == one.report.selections[i].names);
        CHECK(other.report.selections[i].importance == one.report.selections[i].importance);
      }
      CHECK(other.sent == (ranks == 1 ? 0 : other.gradients / 4 * ExactGradients<Float>::bytes_per_number));
    }
  }
}

}  // namespace

TEST_CASE("full training has the same bits on one to four ranks, with any threads and buckets") {
  check_same_bits(tiny_llama, train_all, exact_options);
}

TEST_CASE("green training measures, chooses and trains with the same bits") {
  check_same_bits(tiny_llama, train_green, exact_options);
}

TEST_CASE("dropout has the same masks, wherever its example is") {
  const auto make = [](auto& backend) { return tiny_model(backend, "opt-pre", {.dropout = 0.3}); };
  check_same_bits(make, train_all, exact_options);
  FitOptions other_seed = exact_options;
  other_seed.shuffle = false;
  FitOptions third_seed = other_seed;
  third_seed.seed = 1;
  CHECK(train_on(1, 1, make, train_all, other_seed).front().report.history.front().loss !=
        train_on(1, 1, make, train_all, third_seed).front().report.history.front().loss);
}

TEST_CASE("a step's weights do not depend on how its examples would be batched, and are those of fast sums") {
  FitOptions options = exact_options;
  const auto exact = train_on(1, 1, tiny_llama, train_all, options).front();
  options.batch_size = 8;
  options.gradient_accumulation = 1;
  CHECK(train_on(1, 1, tiny_llama, train_all, options).front().weights == exact.weights);
  options.gradient_sums = GradientSums::fast;
  const auto fast = train_on(1, 1, tiny_llama, train_all, options).front();
  CHECK(fast.weights != exact.weights);  // what is compared can differ
  double squares = 0, all = 0;
  for (std::size_t p = 0; p < exact.weights.size(); ++p) {
    for (std::size_t i = 0; i < exact.weights[p].size(); ++i) {
      squares += std::pow(exact.weights[p][i] - fast.weights[p][i], 2.0);
      all += std::pow(exact.weights[p][i], 2.0);
    }
  }
  CHECK(std::sqrt(squares / all) <= 1e-6);
}

TEST_CASE("the memory of the sums is in the report, and limits that do not count it are refused") {
  const auto report = train_on(1, 1, tiny_llama, train_all, exact_options).front().report;
  CHECK(report.memory.exact_sums > 0);
  const auto refused = [](FitOptions options) {
    try {
      train_on(1, 1, tiny_llama, train_all, options);
    } catch (const ConfigError& error) {
      return std::string(error.subject());
    }
    return std::string("nothing");
  };
  FitOptions options = exact_options;
  options.memory_limit = 1 << 30;
  CHECK(refused(options) == "memory_limit");
  options = exact_options;
  options.budget.seconds = 5;
  options.budget.times = std::make_shared<OperatorTimes>();
  CHECK_THROWS_WITH_AS(check_options(options), doctest::Contains("exact gradient_sums"), ConfigError);
  options = exact_options;
  options.exchange_bucket = 0;
  CHECK(refused(options) == "exchange_bucket");
}

TEST_CASE("a gradient that is not finite is found on every rank, and no weight changes") {
  for (int ranks = 1; ranks <= 3; ranks += 2) {
    FitOptions options = exact_options;
    options.steps = 1;
    options.evaluate = Evaluations::none;
    const auto broken = [](auto& backend) {
      auto model = tiny_model(backend, "llama-gqa-tied");
      auto weights = model.parameters()[0].download();
      weights[7 * 3] = std::numeric_limits<float>::quiet_NaN();
      model.parameters()[0].upload(weights);
      return model;
    };
    CHECK_THROWS_AS(train_on(ranks, 1, broken, train_all, options), NumericalError);
  }
}
