// A run's budget is kept to the FLOP, and what it pays for is decided before the start.

#include "greentrainer/train/run_budget.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/core/random.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/paths.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;

namespace {

using B = CountingBackend<EigenBackend<float>>;

PretrainedModel<B> golden_model(B& backend, const std::string& name, const GraphOptions& options) {
  return load_pretrained(testing::source_folder() / "tests/golden/models" / name, backend, options, 1);
}

/// Of many lengths; with sources for an encoder-decoder.
std::vector<Example> examples_for(const ModelFacts& facts, std::size_t count) {
  std::vector<Example> examples = counting_examples(count, static_cast<std::size_t>(facts.vocabulary));
  for (std::size_t i = 0; i < count && facts.target_shift; ++i)
    examples[i].source_ids.assign(3 + i % 4, static_cast<Index>(i % 50));
  return examples;
}

double uniform(CounterRandom& random, double low, double high) { return low + (high - low) * random.uniform(); }

/// Runs with a budget, and holds what was planned against what the backend counted.
TrainingReport run_within(B& backend, Trainer<B>& trainer, const std::vector<Example>& examples, FitOptions options) {
  options.evaluate = Evaluations::none;
  const RunPlan plan = trainer.plan_run(examples, options);
  backend.reset();
  const TrainingReport report = trainer.fit(examples, options);
  CHECK(backend.flops() == report.spent());
  CHECK(report.spent() <= report.plan.budget);
  CHECK(report.spent() <= plan.planned);
  CHECK(report.plan.steps == plan.steps);
  CHECK(report.plan.batch_size == plan.batch_size);
  CHECK(report.plan.planned == plan.planned);
  CHECK(report.plan.budget == plan.budget);
  CHECK(plan.planned <= plan.budget);
  return report;
}

/// What so many steps on batches of so many examples cost without a budget.
Flops cost_of(Trainer<B>& trainer, const std::vector<Example>& examples, FitOptions options, Extent steps,
              Extent batch_size) {
  options.budget = {};
  options.evaluate = Evaluations::none;
  options.steps = steps;
  options.batch_size = batch_size;
  return trainer.fit(examples, options).spent();
}

}  // namespace

TEST_CASE("a run of known tensors spends what was planned, to the FLOP, and one step more would exceed the budget") {
  CounterRandom random(3, "budgets");
  const LoraOptions everywhere{.rank = 2, .alpha = 4, .dropout = 0.1, .targets = {"all-linear"}};
  for (const char* name : {"opt-pre", "bloom", "llama-gqa-tied", "t5-tied-relu", "../architectures/gemma2"}) {
    for (const bool lora : {false, true}) {
      B backend(1);
      auto model = golden_model(backend, name, lora ? GraphOptions{.lora = everywhere} : GraphOptions{});
      const auto examples = examples_for(model.facts(), 23);
      for (int i = 0; i < 6; ++i) {
        const bool few = !lora && i % 3 == 2;  // with values at a cut cached
        const Selection selection = lora  ? select_adapters(model.graph())
                                    : few ? select_last_layers(model.graph(), model.facts(), 1)
                                          : select_all(model.graph());
        Trainer<B> trainer(model, selection, AdamWOptions{.learning_rate = 1e-4});
        FitOptions options{.epochs = 1 + i % 2,
                           .batch_size = 4,
                           .gradient_accumulation = 1 + i % 2,
                           .budget = {.share_of_full = uniform(random, 0.2, few ? 0.3 : 0.6),
                                      .cuts = i < 3 ? BudgetCuts::batch : BudgetCuts::steps},
                           .clip_norm = i == 1 ? 1.0 : 0.0,
                           .prefix_cache = few ? PrefixCacheMode::memory : PrefixCacheMode::off,
                           .seed = static_cast<std::uint64_t>(i)};
        CAPTURE(name);
        CAPTURE(lora);
        CAPTURE(i);
        CAPTURE(options.budget.share_of_full);
        const auto report = run_within(backend, trainer, examples, options);
        const RunPlan& plan = report.plan;
        CHECK(plan.exact);
        CHECK(report.spent() == plan.planned);
        CHECK_FALSE(report.budget_reached);
        REQUIRE(report.steps == plan.steps);
        CHECK(report.history.back().total_steps == plan.steps);  // the rate falls to its last value
        CHECK(report.history.back().learning_rate ==
              doctest::Approx(1e-4 / static_cast<double>(plan.steps)).epsilon(1e-9));
        if (options.budget.cuts == BudgetCuts::steps) CHECK(plan.batch_size == 4);
        if (plan.planned < plan.budget)
          CHECK(cost_of(trainer, examples, options, plan.steps + 1, plan.batch_size) > plan.budget);
      }
    }
  }
}

TEST_CASE("a plan for a model with experts says that its FLOPs are an average") {
  B backend(1);
  for (const auto& [name, average] : {std::pair{"architectures/olmoe", true}, {"models/llama-gqa-tied", false}}) {
    auto model = load_pretrained(testing::source_folder() / "tests/golden" / name, backend);
    const auto examples = examples_for(model.facts(), 8);
    const Trainer<B> trainer(model, select_all(model.graph()), AdamWOptions{});
    const RunPlan plan = trainer.plan_run(examples, {.batch_size = 2, .budget = {.share_of_full = 0.5}});
    CAPTURE(name);
    CHECK(plan.average == average);
    CHECK(plan.exact == !average);
    CHECK(plan.promise() == std::string_view(average ? "on average " : ""));
  }
}

TEST_CASE("a share of 1 pays for full fine-tuning exactly, updates included; what costs less is taken as it is") {
  B backend(1);
  auto model = golden_model(backend, "llama-gqa-tied", {});
  const auto examples = counting_examples(11);
  Trainer<B> full(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-4});
  FitOptions options{.epochs = 2, .batch_size = 3, .budget = {.share_of_full = 1}, .clip_norm = 1};
  const auto report = run_within(backend, full, examples, options);
  CHECK(report.steps == 8);
  CHECK(report.plan.batch_size == 3);
  CHECK(report.plan.full == report.spent());
  CHECK(report.plan.budget == report.spent());

  auto with_lora = golden_model(backend, "llama-gqa-tied", {.lora = LoraOptions{.rank = 2}});
  Trainer<B> lora(with_lora, select_adapters(with_lora.graph()), AdamWOptions{.learning_rate = 1e-4});
  const auto cheaper = run_within(backend, lora, examples, options);
  CHECK(cheaper.plan.full == report.plan.full);  // of the model without what was added
  CHECK(cheaper.steps == 8);
  CHECK(cheaper.spent() < cheaper.plan.budget);

  options.budget = {};
  const auto without = full.fit(examples, options);
  CHECK(without.plan.budget == 0);
  CHECK(without.spent() == report.spent());
}

TEST_CASE("GreenTrainer never passes a run's budget, whatever it chooses on the way") {
  CounterRandom random(5, "budgets");
  for (const char* name : {"opt-pre", "llama-gqa-tied", "t5-tied-relu"}) {
    B backend(1);
    auto model = golden_model(backend, name, {});
    const auto examples = examples_for(model.facts(), 31);
    int early = 0;
    for (int i = 0; i < 4; ++i) {
      CAPTURE(name);
      CAPTURE(i);
      const FitOptions options{
          .epochs = 2,
          .batch_size = 4,
          .gradient_accumulation = 1 + i % 2,
          .budget = {.share_of_full = uniform(random, 0.5, 1),
                     .cuts = i % 2 == 0 ? BudgetCuts::batch : BudgetCuts::steps},
      };
      const GreenOptions green{.flops_ratio = 0.7,
                               .importance = i == 3 ? "magnitude" : "first-order",
                               .importance_batches = 2,
                               .sampling = i < 2 ? Sampling::off : Sampling::importance,
                               .reselect_every = {3, Interval::Unit::steps}};
      Trainer<B> trainer(model, green, AdamWOptions{.learning_rate = 1e-4});
      const auto report = run_within(backend, trainer, examples, options);
      CHECK_FALSE(report.plan.exact);
      CHECK_FALSE(report.budget_reached);
      CHECK(report.steps == report.plan.steps);

      // A selector that takes all it can get reaches the budget early, and is stopped.
      Trainer<B> greedy(model, green, AdamWOptions{.learning_rate = 1e-4});
      greedy.use_selector(SelectFunction([](const SelectionProblem& problem) {
        return SelectionResult{.mask = std::vector<bool>(problem.dag.items.size(), true)};
      }));
      FitOptions quiet = options;
      quiet.evaluate = Evaluations::none;
      backend.reset();
      const auto stopped = greedy.fit(examples, quiet);
      CHECK(backend.flops() == stopped.spent());
      CHECK(stopped.spent() <= stopped.plan.budget);
      CHECK(stopped.budget_reached == (stopped.steps < stopped.plan.steps));
      early += stopped.budget_reached ? 1 : 0;
    }
    CHECK(early >= 3);
  }
}

TEST_CASE("importances are counted as they are executed, whatever the number of batches they are taken from") {
  B backend(1);
  auto model = golden_model(backend, "opt-pre", {});
  for (const char* importance : importance_names) {
    CAPTURE(importance);
    Trainer<B> trainer(model, GreenOptions{.flops_ratio = 0.6, .importance = importance, .importance_batches = 3},
                       AdamWOptions{.learning_rate = 1e-4});
    backend.reset();
    const auto report =
        trainer.fit(counting_examples(10), {.steps = 4, .batch_size = 2, .evaluate = Evaluations::none});
    CHECK(backend.flops() == report.spent());
  }
}

TEST_CASE("a budget that pays for no step is refused with the smallest that pays for one") {
  B backend(1);
  auto model = golden_model(backend, "opt-pre", {});
  const auto examples = counting_examples(9);
  const auto check = [&](Trainer<B>& trainer, BudgetCuts cuts) {
    FitOptions options{.epochs = 2, .batch_size = 4, .budget = {.flops = 1, .cuts = cuts}};
    Flops smallest = 0;
    try {
      trainer.plan_run(examples, options);
      FAIL("expected an InfeasibleBudget");
    } catch (const InfeasibleBudget& error) {
      CHECK(error.subject() == "budget");
      CHECK(std::string(error.detail()).find(std::to_string(error.smallest())) != std::string::npos);
      smallest = error.smallest();
    }
    options.budget.flops = smallest - 1;
    CHECK_THROWS_AS(trainer.fit(examples, options), InfeasibleBudget);
    options.budget.flops = smallest;
    const auto report = run_within(backend, trainer, examples, options);
    CHECK(report.steps == 1);
    CHECK(report.plan.batch_size == (cuts == BudgetCuts::batch ? 1 : 4));
  };
  for (const BudgetCuts cuts : {BudgetCuts::batch, BudgetCuts::steps}) {
    Trainer<B> full(model, select_all(model.graph()), AdamWOptions{.learning_rate = 1e-4});
    check(full, cuts);
    Trainer<B> green(model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = 1e-4});
    check(green, cuts);
  }
}

TEST_CASE("limits that are not planned together yet are refused beside each other, by field") {
  B backend(1);
  auto model = golden_model(backend, "opt-pre", {});
  const auto examples = counting_examples(9);
  Trainer<B> plain{model, select_all(model.graph()), AdamWOptions{}};
  Trainer<B> in_step{model, GreenOptions{.importance = "first-order", .importance_step = true}, AdamWOptions{}};
  const auto subject = [&](Trainer<B>& trainer, const FitOptions& options) -> std::string {
    try {
      trainer.fit(examples, options);
    } catch (const ConfigError& error) {
      return std::string(error.subject());
    }
    return "nothing";
  };
  const FitOptions budget{.budget = {.share_of_full = 0.5}}, limit{.memory_limit = Bytes{1} << 40};
  FitOptions both = budget;
  both.memory_limit = limit.memory_limit;
  CHECK(subject(plain, both) == "budget");
  CHECK(subject(in_step, budget) == "budget");
  CHECK(subject(in_step, limit) == "memory_limit");
}

TEST_CASE("among all batch sizes the one is taken that keeps the number of steps nearest, as a ratio") {
  CounterRandom random(7, "plans");
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<Example> examples;
    const std::size_t count = 1 + random.below(40);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t length = 1 + random.below(9);
      examples.push_back({std::vector<Index>(length, 1), std::vector<Index>(length, 1), {}});
    }
    const FitOptions asked{.epochs = 1 + random.below(3), .batch_size = 1 + random.below(9), .seed = random.below(100)};
    const auto batches_of = [&](Extent size) {
      FitOptions options = asked;
      options.batch_size = size;
      return TrainingBatches(examples, options);
    };
    const Flops update = random.below(5);
    const RunPrices prices{.steps = [&](Extent size) { return batches_of(size).steps(); },
                           .price =
                               [&](Extent size, Extent steps) {
                                 return 3 * batches_of(size).workload_of_steps(0, steps)[Measure::decoder_tokens] +
                                        steps * update;
                               }};
    const Extent asked_steps = prices.steps(asked.batch_size);
    const Flops full = prices.price(asked.batch_size, asked_steps);
    const Flops budget = 1 + static_cast<Flops>(random.uniform() * static_cast<double>(full));
    CAPTURE(trial);

    const auto nearness = [&](Extent steps) {
      const double ratio = static_cast<double>(steps) / static_cast<double>(asked_steps);
      return std::min(ratio, 1 / ratio);
    };
    double nearest = 0;  // by trying all
    for (Extent size = 1; size <= asked.batch_size; ++size) {
      Extent steps = 0;
      while (steps < prices.steps(size) && prices.price(size, steps + 1) <= budget) ++steps;
      if (steps > 0) nearest = std::max(nearest, nearness(steps));
    }
    if (nearest == 0) {
      CHECK_THROWS_AS(plan_run({.flops = budget}, asked.batch_size, full, prices), InfeasibleBudget);
      continue;
    }
    const RunPlan plan = plan_run({.flops = budget}, asked.batch_size, full, prices);
    CHECK(nearness(plan.steps) == doctest::Approx(nearest).epsilon(1e-12));
    CHECK(plan.planned == prices.price(plan.batch_size, plan.steps));
    CHECK(plan.planned <= budget);
  }
}
