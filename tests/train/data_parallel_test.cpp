// Several ranks that train one model: the numbers of one rank alone, with the selected gradients exchanged and no
// others.

#include <cmath>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/parallel/thread_group.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

/// What a rank ends with.
template <class T>
struct Outcome {
  TrainingReport report;
  std::vector<std::vector<T>> weights;
  Ranks ranks;
};

using Double = EigenBackend<double>;
using Float = EigenBackend<float>;

template <Backend B>
using Outcomes = std::vector<Outcome<typename B::Scalar>>;

template <Backend B>
Outcome<typename B::Scalar> outcome_of(Model<B>& model, Trainer<B>& trainer, const std::vector<Example>& examples,
                                       const FitOptions& options) {
  TrainingReport report = trainer.fit(examples, options);
  return {std::move(report), weights_of(model), trainer.ranks()};
}

/// Trains on so many ranks, each with a model and a trainer by make(backend) and make_trainer(model).
template <Backend B, class Make, class MakeTrainer>
Outcomes<B> train_on(int size, const Make& make, const MakeTrainer& make_trainer, const std::vector<Example>& examples,
                     const FitOptions& options) {
  Outcomes<B> outcomes(static_cast<std::size_t>(size));
  ThreadGroup(size).run([&](auto& communicator) {
    B backend(1);
    auto model = make(backend);
    auto trainer = make_trainer(model);
    trainer.use_communicator(communicator);
    outcomes[static_cast<std::size_t>(communicator.rank())] = outcome_of(model, trainer, examples, options);
  });
  return outcomes;
}

/// The same without a communicator.
template <Backend B, class Make, class MakeTrainer>
Outcome<typename B::Scalar> train_alone(const Make& make, const MakeTrainer& make_trainer,
                                        const std::vector<Example>& examples, const FitOptions& options) {
  B backend(1);
  auto model = make(backend);
  auto trainer = make_trainer(model);
  return outcome_of(model, trainer, examples, options);
}

/// Euclidean norm of the difference over that of `a`, of all weights together.
template <class T>
double difference(const std::vector<std::vector<T>>& a, const std::vector<std::vector<T>>& b) {
  double squares = 0, of_a = 0;
  for (std::size_t p = 0; p < a.size(); ++p) {
    for (std::size_t i = 0; i < a[p].size(); ++i) {
      const double x = static_cast<double>(a[p][i]), y = static_cast<double>(b[p][i]);
      squares += (x - y) * (x - y);
      of_a += x * x;
    }
  }
  return std::sqrt(squares / of_a);
}

template <Backend B>
Bytes selected_bytes(const Model<B>& model, const std::vector<std::string>& names) {
  Bytes bytes = 0;
  for (const Parameter& p : model.graph().parameters()) {
    if (std::find(names.begin(), names.end(), p.name) != names.end())
      bytes += p.size() * static_cast<Bytes>(sizeof(typename B::Scalar));
  }
  return bytes;
}

/// Gradients of every step, by the selections of the report.
template <Backend B>
Bytes gradient_bytes_of(const Model<B>& model, const TrainingReport& report) {
  Bytes bytes = 0;
  for (const StepRecord& step : report.history) {
    std::vector<std::string> names;
    for (const SelectionRecord& selection : report.selections) {
      if (selection.step < step.step) names = selection.names;
    }
    bytes += step.in_full ? parameter_elements(model.graph()) * static_cast<Bytes>(sizeof(typename B::Scalar))
                          : selected_bytes(model, names);
  }
  return bytes;
}

/// One to four ranks against one alone: numbers, FLOPs and bytes, among them those of so many importances.
template <Backend B, class Make, class MakeTrainer>
void check_ranks_agree(const Make& make, const MakeTrainer& make_trainer, const std::vector<Example>& examples,
                       const FitOptions& options, Bytes importances = 0) {
  const auto alone = train_alone<B>(make, make_trainer, examples, options);
  B backend(1);
  const auto model = make(backend);
  const Bytes of_importances = 8 * static_cast<Bytes>(model.graph().parameters().size());
  for (int size = 1; size <= 4; ++size) {
    CAPTURE(size);
    const auto outcomes = train_on<B>(size, make, make_trainer, examples, options);
    const auto& first = outcomes.front();
    CHECK(difference(alone.weights, first.weights) <= (size == 1 ? 0.0 : 1e-6));
    REQUIRE(first.report.history.size() == alone.report.history.size());
    for (std::size_t i = 0; i < first.report.history.size(); ++i) {
      const StepRecord &one = alone.report.history[i], &other = first.report.history[i];
      CHECK(other.loss == doctest::Approx(one.loss).epsilon(1e-6));
      CHECK(other.gradient_norm == doctest::Approx(one.gradient_norm).epsilon(1e-5));
      CHECK(other.flops == one.flops);
      CHECK(other.full_flops == one.full_flops);
      CHECK(other.tokens == one.tokens);
      CHECK(other.labelled_tokens == one.labelled_tokens);
    }
    CHECK(first.report.loss_before == alone.report.loss_before);  // to the bit: of equal weights
    CHECK(*first.report.loss_after == doctest::Approx(*alone.report.loss_after).epsilon(1e-6));
    CHECK(first.report.flops.importance == alone.report.flops.importance);
    CHECK(first.report.flops.evaluation == alone.report.flops.evaluation);
    REQUIRE(first.report.selections.size() == alone.report.selections.size());
    for (std::size_t i = 0; i < first.report.selections.size(); ++i) {
      CHECK(first.report.selections[i].names == alone.report.selections[i].names);
    }
    for (const auto& other : outcomes) {
      CHECK(other.weights == first.weights);
      CHECK(other.report.loss_after == first.report.loss_after);
      CHECK(other.ranks.sent(Traffic::gradients).bytes == (size == 1 ? 0 : gradient_bytes_of(model, first.report)));
      CHECK(other.ranks.sent(Traffic::importance).bytes == (size == 1 ? 0 : importances * of_importances));
    }
    FitOptions small_buckets = options;  // in the middle of tensors, of which many are on the way at once
    small_buckets.exchange_bucket = 333;
    CHECK(train_on<B>(size, make, make_trainer, examples, small_buckets).front().weights == first.weights);
  }
}

const auto tiny_llama = [](auto& backend) { return tiny_model(backend, "llama-gqa-tied"); };

}  // namespace

TEST_CASE_TEMPLATE("full training on one to four ranks gives the losses and weights of one alone", B, Double, Float) {
  // 22 examples in batches of 4, twice a step: the last step has fewer examples than ranks have places for.
  check_ranks_agree<B>(tiny_llama,
                       [](auto& model) {
                         return Trainer{model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
                       },
                       counting_examples(22),
                       {.epochs = 1, .batch_size = 4, .gradient_accumulation = 2, .clip_norm = 0.5});
}

TEST_CASE_TEMPLATE("green training selects the same tensors again and again, and sends the gradients of these alone", B,
                   Double, Float) {
  // A model without biases of keys, whose gradients are 0 but for rounding: which would decide whether they are
  // trained.
  const auto examples = counting_examples(24);
  for (const char* importance : {"paper", "magnitude"}) {
    CAPTURE(importance);
    check_ranks_agree<B>(
        tiny_llama,
        [&](auto& model) {
          return Trainer{model,
                         GreenOptions{.flops_ratio = 0.5,
                                      .importance = importance,
                                      .importance_batches = 3,
                                      .reselect_every = {2, Interval::Unit::steps}},
                         AdamWOptions{.learning_rate = 1e-3}};
        },
        examples, {.epochs = 1, .batch_size = 5}, importance == std::string("paper") ? 3 : 0);
  }
}

TEST_CASE("the step at which importances are taken from its own gradients works on ranks, too") {
  check_ranks_agree<Double>(tiny_llama,
                            [](auto& model) {
                              return Trainer{model,
                                             GreenOptions{.flops_ratio = 0.7,
                                                          .importance = "first-order",
                                                          .importance_step = true,
                                                          .reselect_every = {3, Interval::Unit::steps}},
                                             AdamWOptions{.learning_rate = 1e-3}};
                            },
                            counting_examples(24), {.steps = 6, .batch_size = 4});
}

TEST_CASE_TEMPLATE("LoRA on ranks sends its matrices' gradients alone", B, Double, Float) {
  check_ranks_agree<B>(
      [](auto& backend) {
        return load_pretrained(testing::source_folder() / "tests/golden/models/llama-gqa-tied", backend,
                               {.lora = LoraOptions{.rank = 4}}, 1);
      },
      [](auto& model) {
        return Trainer{model, select_adapters(model.graph()), AdamWOptions{.learning_rate = 1e-3}};
      },
      counting_examples(12), {.epochs = 2, .batch_size = 3});
}

TEST_CASE("a step with fewer examples than ranks, and a rank whose examples carry no loss, are steps like others") {
  auto examples = counting_examples(7);
  for (Index& label : examples[1].labels) label = ignore_label;
  for (Index& label : examples[4].labels) label = ignore_label;
  check_ranks_agree<Double>(tiny_llama,
                            [](auto& model) {
                              return Trainer{model, select_all(model.graph()), SgdOptions{.learning_rate = 1e-2}};
                            },
                            examples, {.epochs = 2, .batch_size = 3});
}

TEST_CASE("a backend whose memory the host cannot read exchanges gradients as others do") {
  using B = OpaqueBackend<Float>;
  const auto make_trainer = [](auto& model) {
    return Trainer{model, select_biases(model.graph()), SgdOptions{.learning_rate = 1e-2}};
  };
  const auto make = [](auto& backend) { return tiny_model(backend, "opt-pre"); };
  const auto examples = counting_examples(9);
  const FitOptions options{.epochs = 1, .batch_size = 3};
  CHECK(train_on<B>(3, make, make_trainer, examples, options)[2].weights ==
        train_on<Float>(3, make, make_trainer, examples, options)[0].weights);
}
