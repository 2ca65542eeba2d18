// Ranks that do not agree, that are asked for what they cannot do, or that stop: all of them end, and say the same.

#include "greentrainer/train/rank_agreement.hpp"

#include <functional>
#include <limits>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/parallel/thread_group.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;

namespace {

using Float = EigenBackend<float>;

const auto tiny_llama = [](auto& backend) { return tiny_model(backend, "llama-gqa-tied"); };

}  // namespace

namespace {

/// What every rank of two throws where rank 1 differs by `differ(what a rank has)`; the texts must be the same.
struct Setup {
  std::vector<Example> examples = counting_examples(12);
  std::uint64_t weights = 11;
  double learning_rate = 1e-3;
  FitOptions options = {.steps = 2, .batch_size = 4};
  bool selects_otherwise = false;
};

std::string thrown_by_ranks(const std::function<void(Setup&)>& differ) {
  std::vector<std::string> thrown(2);
  try {
    ThreadGroup(2).run([&](auto& communicator) {
      Setup setup;
      if (communicator.rank() == 1) differ(setup);
      Float backend(1);
      auto model = tiny_llama(backend);
      if (setup.weights != 11) {
        std::vector<float> one = model.parameters()[3].download();
        one[0] += 1e-3F;
        model.parameters()[3].upload(one);
      }
      Trainer trainer{model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = setup.learning_rate}};
      if (setup.selects_otherwise) {
        trainer.use_selector(SelectFunction([](const SelectionProblem& problem) {
          SelectionResult result{.mask = std::vector<bool>(problem.dag.items.size(), false)};
          result.mask.back() = true;
          return result;
        }));
      }
      trainer.use_communicator(communicator);
      try {
        trainer.fit(setup.examples, setup.options);
      } catch (const Error& error) {
        thrown[static_cast<std::size_t>(communicator.rank())] = error.what();
        communicator.barrier();  // both have thrown by themselves
        throw;
      }
    });
  } catch (const Error&) {
  }
  CHECK(thrown[0] == thrown[1]);
  return thrown[0];
}

bool names(const std::string& message, const char* subject) {
  return message.find(std::string("] ") + subject + ":") != std::string::npos &&
         message.find("on rank 1") != std::string::npos;
}

}  // namespace

TEST_CASE("ranks that differ in model, data, options or selection end with one message, on all of them") {
  CHECK(thrown_by_ranks([](Setup&) {}) == "");
  CHECK(names(thrown_by_ranks([](Setup& s) { s.weights = 12; }), "model"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.examples[5].input_ids[0] += 1; }), "train"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.learning_rate = 2e-3; }), "optimizer"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.options.seed = 4; }), "seed"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.options.batch_size = 3; }), "batch_size"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.options.on_nan = OnNonFinite::skip; }), "on_nan"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.options.also_depends_on["a"] = "b"; }), "entries of the run"));
  CHECK(names(thrown_by_ranks([](Setup& s) { s.selects_otherwise = true; }), "selection"));
}

TEST_CASE("what several ranks cannot do yet is refused by its name before the first step") {
  const auto refused = [](const FitOptions& options, const GraphOptions& graph = {}) {
    try {
      ThreadGroup(2).run([&](auto& communicator) {
        Float backend(1);
        auto model =
            load_pretrained(testing::source_folder() / "tests/golden/models/llama-gqa-tied", backend, graph, 1);
        Trainer trainer{model, select_all(model.graph()), SgdOptions{}};
        trainer.use_communicator(communicator);
        trainer.fit(counting_examples(8), options);
      });
    } catch (const ConfigError& error) {
      return std::string(error.subject());
    }
    return std::string("nothing");
  };
  CHECK(refused({.steps = 1}) == "nothing");
  CHECK(refused({.steps = 1, .prefix_cache = PrefixCacheMode::memory}) == "prefix_cache");
  CHECK(refused({.steps = 1, .budget = {.share_of_full = 0.5}}) == "budget");
  CHECK(refused({.steps = 1}, {.lora = LoraOptions{.rank = 2, .dropout = 0.1}}) == "dropout");
  const RunMetric own{.name = "mine", .take = [] { return MetricValue{}; }};
  CHECK(refused({.steps = 1, .evaluate_every = Interval{1, Interval::Unit::steps}, .keep_best = own}) == "keep_best");
}

TEST_CASE("a saved run goes on with the bits that it would have had, and on other numbers of ranks within rounding") {
  const testing::TemporaryFolder folder;
  const auto examples = counting_examples(24);
  // Trains on ranks, whole or from a state, which the last rank may save after three steps.
  const auto train = [&](int size, const std::string& from, const std::string& to) {
    std::vector<std::vector<std::vector<double>>> weights(static_cast<std::size_t>(size));
    ThreadGroup(size).run([&](auto& communicator) {
      EigenBackend<double> backend(1);
      auto model = tiny_model(backend, "llama-gqa-tied");
      Trainer trainer{model, GreenOptions{.flops_ratio = 0.6, .reselect_every = {2, Interval::Unit::steps}},
                      AdamWOptions{.learning_rate = 1e-3}};
      trainer.use_communicator(communicator);
      trainer.start(examples, {.epochs = 1, .batch_size = 4});
      if (!from.empty()) trainer.load(folder / from);
      while (trainer.step()) {
        if (!to.empty() && trainer.steps_done() == 3 && communicator.rank() == size - 1) trainer.save(folder / to);
      }
      CHECK(trainer.finish().steps == 6);
      weights[static_cast<std::size_t>(communicator.rank())] = testing::weights_of(model);
    });
    for (const auto& of_rank : weights) CHECK(of_rank == weights.front());
    return weights.front();
  };
  const auto whole = train(3, "", "state");
  CHECK(train(3, "state", "") == whole);
  for (const int other : {1, 2}) {
    const auto weights = train(other, "state", "");
    for (std::size_t p = 0; p < whole.size(); ++p) {
      for (std::size_t i = 0; i < whole[p].size(); ++i)
        CHECK(weights[p][i] == doctest::Approx(whole[p][i]).epsilon(1e-9).scale(1));
    }
  }
}

TEST_CASE("ranks of which one alone has loaded a state end with one message, and ranks do not change within a run") {
  const testing::TemporaryFolder folder;
  const auto examples = counting_examples(8);
  std::vector<std::string> thrown(2);
  ThreadGroup(2).run([&](auto& communicator) {
    const auto make = [&](auto& model) {
      Trainer trainer{model, select_all(model.graph()), SgdOptions{}};
      trainer.use_communicator(communicator);
      trainer.start(examples, {.steps = 2});
      return trainer;
    };
    Float backend(1);
    auto model = tiny_llama(backend), again = tiny_llama(backend);
    auto first = make(model);
    first.step();
    CHECK_THROWS_AS(first.use_communicator(communicator), ConfigError);
    if (communicator.rank() == 1) first.save(folder / "state");
    auto second = make(again);
    if (communicator.rank() == 1) second.load(folder / "state");
    thrown[static_cast<std::size_t>(communicator.rank())] = testing::error_of<ConfigError>([&] { second.step(); });
  });
  CHECK(thrown[0] == thrown[1]);
  CHECK(thrown[0].find("loaded weights: expected none as on rank 0, got ") != std::string::npos);
}

TEST_CASE("a rank that is asked to stop stops all of them after the same step, in an evaluation, too") {
  const auto examples = counting_examples(16);
  for (const bool in_evaluation : {false, true}) {
    CAPTURE(in_evaluation);
    std::vector<Extent> steps(3);
    std::vector<std::size_t> evaluations(3);
    ThreadGroup(3).run([&](auto& communicator) {
      const auto rank = static_cast<std::size_t>(communicator.rank());
      Float backend(1);
      auto model = tiny_llama(backend);
      Trainer trainer{model, select_all(model.graph()), SgdOptions{}};
      trainer.use_communicator(communicator);
      int asked = 0;
      FitOptions options{
          .steps = 8, .batch_size = 2, .evaluate = in_evaluation ? Evaluations::before : Evaluations::none};
      options.should_stop = [&] { return rank == 1 && ++asked > (in_evaluation ? 0 : 3); };
      const TrainingReport report = trainer.fit(examples, options);
      CHECK(report.stopped);
      steps[rank] = report.steps;
      evaluations[rank] = report.evaluations.size();
    });
    CHECK(steps == std::vector<Extent>(3, in_evaluation ? 0 : 3));
    CHECK(evaluations == std::vector<std::size_t>(3, 0));
  }
}

TEST_CASE("a loss that is no number is named by its operator on every rank, whichever rank has the example") {
  const auto examples = counting_examples(8);  // of which one alone has ten tokens
  std::vector<std::string> thrown(3);
  ThreadGroup group(3);
  CHECK_THROWS_AS(group.run([&](auto& communicator) {
    Float backend(1);
    auto model = tiny_model(backend, "opt-pre");
    const ParameterId positions = model.graph().find("model.decoder.embed_positions.weight").value();
    std::vector<float> table = model.parameters()[positions].download();
    table[static_cast<std::size_t>((9 + 2) * model.parameters()[positions].cols())] =
        std::numeric_limits<float>::infinity();
    model.parameters()[positions].upload(table);
    Trainer trainer{model, select_all(model.graph()), SgdOptions{}};
    trainer.use_communicator(communicator);
    try {
      trainer.fit(examples, {.steps = 4, .batch_size = 8, .evaluate = Evaluations::none});
    } catch (const NumericalError& error) {
      thrown[static_cast<std::size_t>(communicator.rank())] = error.what();
      communicator.barrier();
      throw;
    }
  }),
                  NumericalError);
  CAPTURE(thrown[0]);
  CHECK(thrown[0].find("from operator model.decoder.embed") != std::string::npos);
  CHECK(thrown[1] == thrown[0]);
  CHECK(thrown[2] == thrown[0]);
}
