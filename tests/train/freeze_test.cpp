// What is frozen is never chosen, and stays as it is to the bit; and a run can go on training an adapter.

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/pretrained/adapter_folder.hpp"
#include "greentrainer/pretrained/load_adapter.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::TemporaryFolder;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

using B = EigenBackend<float>;

TEST_CASE("tensors that are frozen are never chosen, whatever they are worth, and the budget is spent on others") {
  const auto examples = counting_examples(16);
  for (const double rho : {0.55, 0.7, 1.0}) {
    CAPTURE(rho);
    const auto fit = [&](std::vector<std::string> freeze, std::vector<bool>& changed) {
      B backend(1);
      auto model = tiny_model(backend, "llama-gqa-tied");
      const auto before = weights_of(model);
      Trainer trainer{
          model,
          GreenOptions{.flops_ratio = rho,
                       .importance = rho == 1.0 ? "magnitude" : "paper",  // never negative: all that may be is chosen
                       .reselect_every = {2, Interval::Unit::steps},
                       .freeze = std::move(freeze)},
          AdamWOptions{.learning_rate = 1e-2}};
      const TrainingReport report = trainer.fit(examples, {.epochs = 2, .batch_size = 4});
      const auto after = weights_of(model);
      changed.clear();
      for (std::size_t i = 0; i < after.size(); ++i) changed.push_back(after[i] != before[i]);
      return report;
    };
    std::vector<bool> changed;
    fit({}, changed);
    B backend(1);
    const auto model = tiny_model(backend, "llama-gqa-tied");
    const std::vector<std::string> freeze = {"*.mlp.*", "*embed*"};
    const Selection frozen = select_listed(model.graph(), freeze);
    bool would_be_chosen = false;
    for (std::size_t i = 0; i < changed.size(); ++i) would_be_chosen |= changed[i] && frozen.mask()[i];
    CHECK(would_be_chosen);

    const TrainingReport report = fit(freeze, changed);
    bool any = false;
    for (std::size_t i = 0; i < changed.size(); ++i) {
      CHECK_FALSE((changed[i] && frozen.mask()[i]));
      any |= changed[i];
    }
    CHECK(any);
    for (const SelectionRecord& record : report.selections) {
      CHECK(record.cost <= record.budget);
      CHECK(record.optimal);
      CHECK(record.importance.size() == model.graph().parameters().size() - frozen.count());
    }
    if (rho == 1.0) CHECK(report.selections[0].names.size() == model.graph().parameters().size() - frozen.count());
  }
}

TEST_CASE("a freeze that freezes nothing, or all, and a selector that chooses what is frozen, are refused by name") {
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto examples = counting_examples(8);
  const AdamWOptions adamw{};
  CHECK_THROWS_WITH_AS(Trainer(model, GreenOptions{.freeze = {"*.mlp.*"}}, adamw),
                       doctest::Contains("freeze: expected names or globs"), ConfigError);
  CHECK_THROWS_WITH_AS(Trainer(model, GreenOptions{.freeze = {"*"}}, adamw),
                       doctest::Contains("freeze: expected patterns that leave something to train"), ConfigError);
  CHECK_THROWS_WITH_AS(
      Trainer(model, GreenOptions{.importance = "first-order", .importance_step = true, .freeze = {"*.bias"}}, adamw),
      doctest::Contains("freeze: expected none beside importance_step"), ConfigError);
  Trainer trainer{model, GreenOptions{.freeze = {"*.fc1.weight"}}, adamw};
  trainer.use_selector([](const SelectionProblem& problem) {
    return make_result(problem.dag, std::vector<bool>(problem.dag.items.size(), true));
  });
  CHECK_THROWS_WITH_AS(trainer.fit(examples, {.batch_size = 4}),
                       doctest::Contains("expected none of the frozen parameters, got "), ConfigError);
}

TEST_CASE("a run on an adapter that was saved goes on where the one that saved it ended") {
  const TemporaryFolder folder;
  const auto base = testing::source_folder() / "tests/golden/models/llama-gqa-tied";
  const auto examples = counting_examples(16);
  const std::span<const Example> first(examples.data(), 8), second(examples.data() + 8, 8);
  const FitOptions one_epoch{.epochs = 1,
                             .batch_size = 4,
                             .schedule = {.kind = LearningRateSchedule::Kind::constant},
                             .shuffle = false,
                             .evaluate = Evaluations::none};
  const auto train = [&](PretrainedModel<B>& model, std::span<const Example> on) {
    Trainer trainer{model, select_adapters(model.graph()), SgdOptions{.learning_rate = 0.1}};
    trainer.fit(on, one_epoch);
  };
  for (const GraphOptions& options :
       {GraphOptions{.lora = LoraOptions{.rank = 4, .alpha = 16}}, GraphOptions{.prefix_tokens = 5}}) {
    CAPTURE(options.prefix_tokens);
    B backend(1);
    auto whole = load_pretrained(base, backend, options, 5);
    train(whole, examples);
    auto part = load_pretrained(base, backend, options, 5);
    train(part, first);
    const auto saved = folder / (options.lora ? "lora" : "prefix");
    save_adapter(part, saved);
    AdapterFolder adapter = read_adapter(saved);
    auto again = load_pretrained_with_adapter(base, adapter, backend);
    CHECK(weights_of(again) == weights_of(part));
    train(again, second);
    CHECK(weights_of(again) == weights_of(whole));
    CHECK(weights_of(again) != weights_of(part));
  }
}
