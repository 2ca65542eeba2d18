// Training with residual branches that pass the identity: which ones is a function of seed and step, budgets hold for
// each draw, and a run that is continued is the run that was never stopped.

#include "greentrainer/train/branch_rotation.hpp"

#include <algorithm>
#include <optional>
#include <set>
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

constexpr Interval often{3, Interval::Unit::steps};

std::vector<Example> examples_for(const std::string& model) {
  std::vector<Example> examples = counting_examples(11);
  for (Example& example : examples) {
    if (model.starts_with("t5")) example.source_ids.assign({3, 1 + example.input_ids.front(), 5, 7});
  }
  return examples;
}

/// Everything that a run has in memory.
struct Session {
  B backend;
  Model<B> model;
  std::vector<Example> examples;
  Trainer<B> trainer;

  template <class Choose>
  Session(const char* name, const Choose& choose, const GraphOptions& graph = {}, int threads = 1)
      : backend(threads),
        model(tiny_model(backend, name, graph)),
        examples(examples_for(name)),
        trainer(choose(model)) {}

  TrainingReport fit(const FitOptions& options) {
    trainer.start(examples, options);
    backend.reset();
    return end();
  }
  TrainingReport end() {
    while (trainer.step()) {
    }
    return trainer.finish();
  }
};

FitOptions plain() { return {.epochs = 3, .batch_size = 2, .seed = 3}; }

template <class Choice>
auto trainer_of(const Choice& choice, const std::optional<PassingOptions>& passing) {
  return [choice, passing](Model<B>& model) {
    Trainer<B> trainer(model, choice(model), AdamWOptions{.learning_rate = 1e-3});
    if (passing) trainer.use_passing(*passing);
    return trainer;
  };
}
const auto everything = [](const Model<B>& model) { return select_all(model.graph()); };
const auto adapters = [](const Model<B>& model) { return select_adapters(model.graph()); };
const auto green = [](const Model<B>&) { return GreenOptions{.flops_ratio = 0.6, .reselect_every = often}; };

}  // namespace

TEST_CASE("draws follow from seed and step, have the share that was asked for, and meet every branch") {
  B backend(1);
  const auto model = tiny_model(backend, "t5-tied-relu");  // 13 branches
  const BranchRotation rotation(model.graph(), {.exact_share = 0.25, .seed = 5});
  REQUIRE(rotation.count() == 13);
  CHECK(rotation.exact() == 3);
  CHECK(BranchRotation(model.graph(), {.exact_share = 0.001}).exact() == 1);
  CHECK(BranchRotation(model.graph(), {.exact_share = 1}).detached(7).empty());
  std::set<std::string> seen_exact;
  std::set<std::vector<std::string>> draws;
  for (Extent step = 0; step < 60; ++step) {
    const auto names = rotation.names(step);
    CHECK(names.size() == 10);
    CHECK(names == BranchRotation(model.graph(), {.exact_share = 0.25, .seed = 5}).names(step));
    draws.insert(names);
    for (const ResidualBranch& branch : residual_branches(model.graph())) {
      if (std::find(names.begin(), names.end(), branch.name) == names.end()) seen_exact.insert(branch.name);
    }
  }
  CHECK(seen_exact.size() == 13);
  CHECK(draws.size() > 40);
  CHECK(BranchRotation(model.graph(), {.exact_share = 0.25, .seed = 6}).names(0) != rotation.names(0));
}

TEST_CASE("with a share of 1 a run is the exact one to the bit, tensors drawn for again on the way or not") {
  for (const char* name : {"llama-gqa-tied", "t5-tied-relu"}) {
    CAPTURE(name);
    Session exact(name, trainer_of(everything, {})),
        whole(name, trainer_of(everything, PassingOptions{.exact_share = 1, .every = often}));
    const TrainingReport a = exact.fit(plain()), b = whole.fit(plain());
    CHECK(weights_of(exact.model) == weights_of(whole.model));
    CHECK(a.flops.train == b.flops.train);
    CHECK(b.selections.size() == 6);
    Session chosen(name, trainer_of(green, {})), same(name, trainer_of(green, PassingOptions{.exact_share = 1}));
    chosen.fit(plain());
    same.fit(plain());
    CHECK(weights_of(chosen.model) == weights_of(same.model));
  }
}

TEST_CASE("the budget holds for every draw, and FLOPs are those that were counted") {
  for (const char* name : {"opt-post", "llama-gqa-tied", "bloom", "t5-tied-relu"}) {
    CAPTURE(name);
    Session session(name, trainer_of(green, PassingOptions{.exact_share = 0.25}));
    const TrainingReport report = session.fit(plain());
    REQUIRE(report.selections.size() == 6);
    CHECK(report.warnings.empty());
    std::set<std::vector<std::string>> draws;
    for (const SelectionRecord& record : report.selections) {
      CHECK(record.cost <= record.budget);
      CHECK(record.optimal);
      draws.insert(record.identity_branches);
    }
    CHECK(draws.size() > 1);
    CHECK(report.ratio() <= 0.6);
    const auto& f = report.flops;
    CHECK(session.backend.flops() == f.train + f.recomputed + f.importance + f.optimizer + f.evaluation);
    CHECK(report.loss_after < report.loss_before);
  }
}

TEST_CASE("all tensors, and LoRA's, are trained for fewer FLOPs, which a run with a budget plans to the FLOP") {
  const GraphOptions lora{.lora = LoraOptions{.rank = 2, .targets = {"*"}}};
  const auto check = [](const GraphOptions& graph, const auto& choice) {
    const PassingOptions passing{.exact_share = 0.5, .every = often};
    Session exact("llama-gqa-tied", trainer_of(choice, {}), graph),
        rotating("llama-gqa-tied", trainer_of(choice, passing), graph);
    const TrainingReport a = exact.fit(plain()), b = rotating.fit(plain());
    CHECK(b.flops.train < a.flops.train);
    CHECK(b.flops.full == a.flops.full);
    CHECK(b.loss_after < b.loss_before);
    CHECK(b.loss_after != a.loss_after);

    FitOptions paid = plain();
    paid.budget = {.share_of_full = 0.6, .cuts = BudgetCuts::steps};
    Session budgeted("llama-gqa-tied", trainer_of(choice, passing), graph);
    const TrainingReport c = budgeted.fit(paid);
    CHECK(c.plan.exact);
    CHECK(c.spent() == c.plan.planned);
    CHECK(c.plan.planned <= c.plan.budget);
  };
  check({}, everything);
  check(lora, adapters);
}

TEST_CASE(
    "a run that is saved after any step and continued is the uninterrupted run to the bit, on other threads too") {
  const auto check = [](const auto& choice, const std::optional<PassingOptions>& passing) {
    const auto make = trainer_of(choice, passing);
    Session whole("llama-gqa-tied", make);
    const TrainingReport expected = whole.fit(plain());
    for (const Extent stop : {0, 1, 3, 4, 8, 17}) {
      CAPTURE(stop);
      const TemporaryFolder folder;
      Session first("llama-gqa-tied", make), second("llama-gqa-tied", make, {}, 2);
      first.trainer.start(first.examples, plain());
      for (Extent step = 0; step < stop; ++step) REQUIRE(first.trainer.step());
      first.trainer.save(folder / "state");
      second.trainer.start(second.examples, plain());
      second.trainer.load(folder / "state");
      if (stop > 0) CHECK(second.trainer.selection() == first.trainer.selection());
      const TrainingReport report = second.end();
      CHECK(weights_of(second.model) == weights_of(whole.model));
      CHECK(report.flops.train == expected.flops.train);
      REQUIRE(report.selections.size() == expected.selections.size());
      for (std::size_t s = 0; s < report.selections.size(); ++s)
        CHECK(report.selections[s].identity_branches == expected.selections[s].identity_branches);
    }
  };
  check(green, PassingOptions{.exact_share = 0.25});
  check(everything, PassingOptions{.exact_share = 0.25, .every = often});
  const auto chosen_by_hand = [](const Model<B>& model) {
    DetachedInputs detached;
    detach(detached, residual_branches(model.graph()).back());
    return Selection(select_all(model.graph()).mask(), detached);
  };
  check(chosen_by_hand, std::nullopt);
}

TEST_CASE("a run with other branches, or with exact gradients, is not continued") {
  const TemporaryFolder folder;
  Session first("llama-gqa-tied", trainer_of(green, PassingOptions{.exact_share = 0.5}));
  first.trainer.start(first.examples, plain());
  REQUIRE(first.trainer.step());
  first.trainer.save(folder / "state");
  for (const auto& passing : {std::optional<PassingOptions>{}, std::optional(PassingOptions{.exact_share = 0.25}),
                              std::optional(PassingOptions{.exact_share = 0.5, .seed = 1})}) {
    Session other("llama-gqa-tied", trainer_of(green, passing));
    other.trainer.start(other.examples, plain());
    CHECK_THROWS_WITH_AS(other.trainer.load(folder / "state"), doctest::Contains("passing"), StateMismatch);
  }
}

TEST_CASE("what does not go with it is refused by name, and a run with a single draw warns") {
  const auto refused = [](const auto& choice, const PassingOptions& passing, const FitOptions& options,
                          const char* what) {
    Session session("llama-gqa-tied", trainer_of(choice, {}));
    const auto run = [&] {
      session.trainer.use_passing(passing);
      session.fit(options);
    };
    CHECK_THROWS_WITH_AS(run(), doctest::Contains(what), ConfigError);
  };
  FitOptions limited = plain(), cached = plain();
  limited.memory_limit = Bytes{1} << 30;
  cached.prefix_cache = PrefixCacheMode::memory;
  cached.budget = {.share_of_full = 0.6};
  refused(everything, {.exact_share = 0}, plain(), "exact_share");
  refused(everything, {.exact_share = 1.5}, plain(), "exact_share");
  refused(everything, {.every = Interval{0}}, plain(), "every");
  refused(green, {.every = often}, plain(), "reselect_every");
  refused(everything, {}, limited, "memory_limit");
  refused(everything, {}, cached, "prefix_cache");

  Session session("llama-gqa-tied", trainer_of(everything, PassingOptions{.every = Interval{3}}));
  const TrainingReport report = session.fit(plain());
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("drawn once") != std::string::npos);
  CHECK_NOTHROW(session.trainer.use_passing({}));  // for the next run
}

TEST_CASE("under a memory limit, and with a step that trains everything, tensors are chosen with the branches drawn") {
  FitOptions limited = plain();
  limited.memory_limit = Bytes{1} << 22;
  Session tight("llama-gqa-tied", trainer_of(green, PassingOptions{.exact_share = 0.25}));
  const TrainingReport report = tight.fit(limited);
  CHECK(report.memory.peak() <= limited.memory_limit);
  for (const SelectionRecord& record : report.selections) CHECK(record.cost + record.recomputed <= record.budget);

  const auto in_step = [](const Model<B>&) {
    return GreenOptions{.flops_ratio = 0.7,
                        .importance = "first-order",
                        .importance_step = true,
                        .reselect_every = {6, Interval::Unit::steps}};
  };
  Session session("llama-gqa-tied", trainer_of(in_step, PassingOptions{.exact_share = 0.25}));
  const TrainingReport stepped = session.fit(plain());
  CHECK(stepped.ratio() <= 0.7);
  CHECK(stepped.history[0].flops == stepped.history[0].full_flops);  // and exactly
}
