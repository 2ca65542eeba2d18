// A fit keeps its memory limit at every moment, by computing values again or choosing fewer tensors; what it learns is
// the same to the bit where the selection is.

#include "greentrainer/cost/memory_limit.hpp"

#include <doctest/doctest.h>

#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::tiny_model;
using greentrainer::testing::weights_of;

namespace {

using B = CountingBackend<EigenBackend<float>>;

/// Long enough that activations take more than weights.
std::vector<Example> examples_for(const Model<B>& model, std::size_t count) {
  std::vector<Example> examples;
  const auto length = static_cast<std::size_t>(std::min<Extent>(40, model.facts().max_positions)) - 6;
  for (std::size_t i = 0; i < count; ++i) {
    Example e;
    for (std::size_t t = 0; t < length + i % 5; ++t) {
      e.input_ids.push_back(static_cast<Index>((7 * i + t) % 96));
      e.labels.push_back(t < 2 ? ignore_label : e.input_ids.back());
    }
    if (model.facts().target_shift) {
      e.source_ids.assign(20 + i % 4, static_cast<Index>(i % 90));
      e.source_ids.back() = 1;
    }
    examples.push_back(std::move(e));
  }
  return examples;
}

struct Run {
  TrainingReport report;
  std::vector<std::vector<float>> weights;
  Flops counted = 0;
  Bytes peak = 0;  ///< that the backend was asked for
};

template <class Choice>
Run run(const std::string& name, const Choice& choice, const FitOptions& options, int threads = 2) {
  B backend(threads);
  auto model = tiny_model(backend, name);
  const auto examples = examples_for(model, 11);
  Trainer<B> trainer(model, choice(model), AdamWOptions{.learning_rate = 1e-3});
  backend.reset();
  Run result;
  result.report = trainer.fit(examples, options);
  result.counted = backend.flops();
  result.peak = backend.memory().peak;
  result.weights = weights_of(model);
  return result;
}

Flops reported(const TrainingReport& r) {
  return r.flops.train + r.flops.recomputed + r.flops.importance + r.flops.optimizer + r.flops.evaluation;
}

const auto everything = [](const Model<B>& model) { return select_all(model.graph()); };
const auto last_layer = [](const Model<B>& model) { return select_last_layers(model.graph(), model.facts(), 1); };
constexpr std::array families = {"opt-pre", "opt-post", "llama-gqa-tied", "bloom", "t5-tied-relu"};

/// What the smallest feasible limit is, as the refusal of one byte says.
template <class Choice>
Bytes smallest_limit(const std::string& name, const Choice& choice, FitOptions options) {
  options.memory_limit = 1;
  try {
    run(name, choice, options);
  } catch (const InfeasibleMemory& refused) {
    CHECK(std::string(refused.what()).find(text(refused.smallest())) != std::string::npos);
    return refused.smallest();
  }
  FAIL("a limit of one byte was accepted");
  return 0;
}

}  // namespace

TEST_CASE("under a limit the losses and weights of 20 steps are those without, for 1 to 8 threads") {
  for (const char* name : families) {
    CAPTURE(name);
    FitOptions options{.steps = 20, .batch_size = 3, .evaluate = Evaluations::none};
    const Run plain = run(name, everything, options);
    CHECK(plain.report.flops.recomputed == 0);
    const Bytes least = smallest_limit(name, everything, options);
    REQUIRE(least < plain.peak);
    int threads = 1;
    Flops before = plain.report.flops.recomputed;
    for (const int quarter : {3, 1, 0}) {
      CAPTURE(quarter);
      options.memory_limit = least + (plain.peak - least) * quarter / 4;
      const Run limited = run(name, everything, options, threads);
      threads = threads == 1 ? 3 : 8;
      CHECK(limited.peak <= options.memory_limit);
      CHECK(limited.weights == plain.weights);
      REQUIRE(limited.report.history.size() == 20);
      for (std::size_t s = 0; s < 20; ++s) {
        CHECK(limited.report.history[s].loss == plain.report.history[s].loss);
        CHECK(limited.report.history[s].flops == plain.report.history[s].flops);
      }
      CHECK(limited.counted == reported(limited.report));
      CHECK(limited.report.flops.train == plain.report.flops.train);
      CHECK(limited.report.flops.recomputed > 0);
      CHECK(limited.report.flops.recomputed >= before);
      CHECK(limited.report.ratio() > plain.report.ratio());
      before = limited.report.flops.recomputed;
      CHECK_FALSE(limited.report.selections.front().recomputed_from.empty());
      CHECK(limited.report.selections.front().recomputed == limited.report.flops.recomputed);
    }
  }
}

TEST_CASE("a limit one byte below the smallest that a refusal names is refused before any pass, too") {
  for (const char* name : families) {
    CAPTURE(name);
    FitOptions options{.steps = 1, .batch_size = 3, .evaluate = Evaluations::none};
    options.memory_limit = smallest_limit(name, everything, options) - 1;
    options.on_selection = [](const SelectionRecord&) { FAIL("something was selected"); };
    CHECK_THROWS_AS(run(name, everything, options), InfeasibleMemory);
  }
}

TEST_CASE("evaluations and cached values keep the limit") {
  for (const char* name : {"opt-pre", "llama-gqa-tied", "t5-tied-relu"}) {
    CAPTURE(name);
    FitOptions options{.epochs = 3, .batch_size = 3};
    const Run plain = run(name, last_layer, options);
    options.prefix_cache = PrefixCacheMode::memory;
    options.prefix_cache_limit = Bytes{1} << 30;
    const Run cached = run(name, last_layer, options);
    CHECK(cached.report.flops.saved_by_cache > 0);
    const Bytes least = smallest_limit(name, last_layer, options);
    for (int quarter = 0; quarter <= 4; ++quarter) {
      CAPTURE(quarter);
      options.memory_limit = least + (cached.peak - least) * quarter / 4;
      const Run limited = run(name, last_layer, options);
      CHECK(limited.peak <= options.memory_limit);
      CHECK(limited.weights == plain.weights);
      CHECK(limited.counted == reported(limited.report));
    }
  }
}

TEST_CASE("chosen tensors keep both limits, over several selections") {
  for (const char* name : {"opt-pre", "llama-gqa-tied", "bloom", "t5-tied-relu"}) {
    for (const char* importance : {"paper", "first-order", "magnitude"}) {
      CAPTURE(name);
      CAPTURE(importance);
      const auto green = [&](const Model<B>&) {
        return GreenOptions{
            .flops_ratio = 0.8, .importance = importance, .reselect_every = {2, Interval::Unit::epochs}};
      };
      FitOptions options{.epochs = 4, .batch_size = 3};
      const Run plain = run(name, green, options);
      CHECK(plain.peak <= plain.report.memory.peak());
      const Bytes least = smallest_limit(name, green, options);
      for (int quarter = 0; quarter <= 4; ++quarter) {
        CAPTURE(quarter);
        const Bytes most = std::max(plain.report.memory.peak(), least);
        options.memory_limit = least + (most - least) * quarter / 4;
        const Run limited = run(name, green, options);
        CHECK(limited.peak <= options.memory_limit);
        CHECK(limited.report.ratio() <= 0.8);
        CHECK(limited.counted == reported(limited.report));
        REQUIRE(limited.report.selections.size() == 2);
        for (const SelectionRecord& record : limited.report.selections) {
          if (quarter > 0) CHECK_FALSE(record.names.empty());  // the smallest tensor may be worth nothing
          CHECK(record.cost + record.recomputed <= record.budget);
          CHECK(record.memory.total() <= options.memory_limit);
        }
        if (quarter == 4) CHECK(limited.weights == plain.weights);
      }
    }
  }
}

TEST_CASE("a limit that activations alone exceed is kept by recomputation inside of the ratio") {
  const auto green = [](const Model<B>&) { return GreenOptions{.flops_ratio = 0.9, .importance = "magnitude"}; };
  FitOptions options{.epochs = 1, .batch_size = 3, .evaluate = Evaluations::none};
  const Run plain = run("llama-gqa-tied", green, options);
  options.memory_limit = plain.report.memory.training - plain.report.selections.front().memory.activations / 2;
  const Run limited = run("llama-gqa-tied", green, options);
  CHECK(limited.report.flops.recomputed > 0);
  CHECK(limited.report.ratio() <= 0.9);
  CHECK(limited.peak <= options.memory_limit);
}
