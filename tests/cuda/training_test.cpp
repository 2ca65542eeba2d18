// GreenTrainer on the CPU and on CUDA: what both compute, and what each chooses.

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

namespace greentrainer::testing {
namespace {

using Cuda = FirstDevice<float>;

/// A selection that was made, and of what.
struct Choice {
  SelectionProblem problem;
  SelectionResult result;
};

template <Backend B>
struct Outcome {
  TrainingReport report;
  std::vector<std::vector<typename B::Scalar>> weights;
};

/// 20 steps at half of the FLOPs, chosen anew every 5.
template <Backend B>
Outcome<B> train(B& backend, const std::string& name, SelectFunction select) {
  auto model = tiny_model(backend, name);
  Trainer<B> trainer(model, GreenOptions{.flops_ratio = 0.5, .reselect_every = {5, Interval::Unit::steps}},
                     AdamWOptions{.learning_rate = 5e-4});
  trainer.use_selector(std::move(select));
  const auto examples = counting_examples(40);
  TrainingReport report = trainer.fit(examples, {.steps = 20, .batch_size = 4});
  return {std::move(report), weights_of(model)};
}

/// Adds every choice to a list.
SelectFunction choose_and_remember(std::vector<Choice>& choices) {
  return [&](const SelectionProblem& problem) {
    choices.push_back({problem, ExactSelector{}.select(problem)});
    return choices.back().result;
  };
}

double importance_of(const std::vector<bool>& mask, const SelectionProblem& problem) {
  double sum = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) sum += mask[i] ? problem.dag.items[i].importance : 0;
  return sum;
}

const std::vector<std::string> names = {"opt-pre", "llama-gqa-tied"};

}  // namespace

TEST_CASE("Training on CUDA with the CPU's selections has the CPU's losses and weights") {
  for (const std::string& name : names) {
    CAPTURE(name);
    EigenBackend<float> cpu(2);
    Cuda cuda;
    std::vector<Choice> choices;
    const auto expected = train(cpu, name, choose_and_remember(choices));
    std::size_t replayed = 0;
    const auto actual = train(cuda, name, [&](const SelectionProblem& problem) {
      const Choice& choice = choices.at(replayed++);
      CHECK(problem.budget == choice.problem.budget);  // costs are the same, whoever computes
      return choice.result;
    });
    CHECK(replayed == 4);
    REQUIRE(actual.report.history.size() == 20);
    for (std::size_t s = 0; s < 20; ++s) {
      CAPTURE(s);
      CHECK(std::abs(actual.report.history[s].loss - expected.report.history[s].loss) < 1e-5);
    }
    CHECK(std::abs(*actual.report.loss_after - *expected.report.loss_after) < 1e-5);
    const auto model = tiny_model(cpu, name);
    for (std::size_t p = 0; p < expected.weights.size(); ++p) {
      const std::string& parameter = model.graph().parameters()[p].name;
      CAPTURE(parameter);
      if (parameter.ends_with("k_proj.bias"))
        continue;  // its gradient is zero by mathematics: AdamW follows rounding noise
      double largest = 0;
      for (std::size_t i = 0; i < expected.weights[p].size(); ++i) {
        largest = std::max(
            largest, std::abs(static_cast<double>(actual.weights[p][i]) - static_cast<double>(expected.weights[p][i])));
      }
      CHECK(largest < 1e-4);
    }
  }
}

TEST_CASE(
    "Left to choose for itself, CUDA keeps its budget, learns, and chooses what is worth the most to the CPU, too") {
  for (const std::string& name : names) {
    CAPTURE(name);
    EigenBackend<float> cpu(2);
    CountingBackend<Cuda> cuda;
    std::vector<Choice> of_cpu, of_cuda;
    train(cpu, name, choose_and_remember(of_cpu));
    const TrainingReport report = train(cuda, name, choose_and_remember(of_cuda)).report;
    // Later choices are of weights that an earlier one has made different.
    const auto regret = [](const Choice& mine, const Choice& other) {
      return 1 - importance_of(other.result.mask, mine.problem) / mine.result.importance;
    };
    CHECK(regret(of_cpu[0], of_cuda[0]) < 1e-4);
    CHECK(regret(of_cuda[0], of_cpu[0]) < 1e-4);

    CHECK(report.loss_after < report.loss_before);
    CHECK(report.ratio() <= 0.5);
    CHECK(report.selections.size() == 4);
    for (const auto& selection : report.selections) CHECK(selection.cost <= selection.budget);
    CHECK(cuda.flops() ==
          report.flops.train + report.flops.importance + report.flops.optimizer + report.flops.evaluation);
  }
}

TEST_CASE("The same seed gives the same bits on CUDA") {
  std::vector<Choice> choices;
  Cuda one, two;
  const auto first = train(one, "llama-gqa-tied", choose_and_remember(choices));
  CHECK(train(two, "llama-gqa-tied", choose_and_remember(choices)).weights == first.weights);
}

}  // namespace greentrainer::testing
