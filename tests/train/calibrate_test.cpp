#include "greentrainer/train/calibrate.hpp"

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/cost/time_cost.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "greentrainer/pretrained/pretrained_model.hpp"
#include "greentrainer/train/operator_times_json.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::weights_of;

namespace {

using B = EigenBackend<float>;

/// One batch of all examples and one of the first; with sources for an encoder-decoder.
std::vector<Batch> two_batches(const ModelFacts& facts) {
  std::vector<Example> examples = counting_examples(6);
  if (facts.target_shift) {
    for (Example& example : examples) example.source_ids.assign(5, 3);
  }
  const std::vector<std::size_t> all = {0, 1, 2, 3, 4, 5}, first = {0};
  return {collate(examples, all), collate(examples, first)};
}

}  // namespace

TEST_CASE("every operator of a model is measured, and weights stay what they were, to the bit") {
  for (const char* name : {"opt-pre", "bloom", "llama-gqa-tied", "t5-tied-relu"}) {
    CAPTURE(name);
    B backend(1);
    auto model = load_pretrained(
        testing::source_folder() / "tests/golden/models" / name, backend,
        GraphOptions{.lora = LoraOptions{.rank = 2, .alpha = 4, .dropout = 0.1, .targets = {"all-linear"}}}, 1);
    const auto before = weights_of(model);
    const std::vector<Batch> batches = two_batches(model.facts());
    const OperatorTimes times = calibrate(model, std::span<const Batch>(batches), AdamWOptions{});
    CHECK(weights_of(model) == before);
    CHECK(first_unmeasured(model.graph(), times).empty());
    for (const auto& [key, time] : times.parts) {
      CAPTURE(key);
      CHECK(time.per_unit >= 0);
      CHECK(time.per_pass >= 0);
      CHECK(time.per_unit + time.per_pass > 0);
    }
    CHECK(times.per_pass > 0);
    CHECK(times.per_clipped > 0);
    CHECK(times.per_update.at(update_key(update_flops_per_element(AdamWOptions{}), 8)) > 0);
  }
}

TEST_CASE("the price of a pass in time is about what the pass takes") {
  B backend(1);
  auto model = load_pretrained(testing::source_folder() / "examples/data/stories260k", backend);
  std::vector<Example> examples(3);
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::size_t t = 0; t < 60 + 20 * i; ++t) examples[i].input_ids.push_back(static_cast<Index>(3 + t % 200));
    examples[i].labels = examples[i].input_ids;
  }
  const std::vector<std::size_t> all = {0, 1, 2}, first = {0};
  const std::vector<Batch> batches = {collate(examples, all), collate(examples, first)};
  const auto times = std::make_shared<const OperatorTimes>(
      calibrate(model, std::span<const Batch>(batches), AdamWOptions{}, {.repeats = 5}));
  const LinearCost full = full_fine_tuning_cost(model.graph(), TimeCost<B>(times));
  const double priced = static_cast<double>(evaluate(full, workload_of(batches.front()))) * 1e-12;

  TransientGradients<B> sink(backend, model.graph(), [](ParameterId, Matrix<float>) {});
  const Schedule schedule = make_schedule(model.graph(), select_all(model.graph()));
  double shortest = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = TrainingClock::now();
    model.executor().run(schedule, batches.front(), {.gradients = &sink});
    shortest = std::min(shortest, seconds_since(start));
  }
  // A wrong unit, or a part counted twice for each layer, is far outside; a busy machine is not.
  CHECK(priced > shortest / 4);
  CHECK(priced < shortest * 4);
}

TEST_CASE("times of another model and optimizer are added to those that are known") {
  B backend(1);
  auto opt = testing::tiny_model(backend, "opt-pre");
  auto bloom = testing::tiny_model(backend, "bloom");
  const std::vector<Batch> batches = two_batches(opt.facts());
  OperatorTimes times = calibrate(opt, std::span<const Batch>(batches), AdamWOptions{}, {.repeats = 1});
  CHECK_FALSE(first_unmeasured(bloom.graph(), times).empty());
  times = calibrate(bloom, std::span<const Batch>(batches), SgdOptions{.momentum = 0.9}, {.repeats = 1}, times);
  CHECK(first_unmeasured(opt.graph(), times).empty());
  CHECK(first_unmeasured(bloom.graph(), times).empty());
  CHECK(times.per_update.size() == 2);
}

TEST_CASE("times are read back from a file's JSON as they were, and anything else is refused by name") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  const std::vector<Batch> batches = two_batches(model.facts());
  const OperatorTimes times = calibrate(model, std::span<const Batch>(batches), AdamWOptions{}, {.repeats = 1});
  CHECK(operator_times_of(parse_json(json_of(times).dump(), "times"), "times") == times);

  const auto refused = [&](auto change, const char* named) {
    Json json = json_of(times);
    change(json);
    try {
      operator_times_of(json, "times.json");
      FAIL("expected a LoadError");
    } catch (const LoadError& error) {
      CHECK(std::string(error.what()).find("times.json") != std::string::npos);
      CHECK(std::string(error.what()).find(named) != std::string::npos);
    }
  };
  const std::string key = times.parts.begin()->first;
  refused([&](Json& json) { json = Json::array(); }, "parts");
  refused([&](Json& json) { json.erase("per_update"); }, "per_update");
  refused([&](Json& json) { json["per_pass"] = "long"; }, "per_pass");
  refused([&](Json& json) { json["per_clipped"] = -1; }, "per_clipped");
  refused([&](Json& json) { json["parts"][key] = 3; }, key.c_str());
  refused([&](Json& json) { json["parts"][key] = {1, 1e30}; }, key.c_str());
}

TEST_CASE("a calibration refuses what it cannot measure with") {
  B backend(1);
  auto model = testing::tiny_model(backend, "opt-pre");
  std::vector<Batch> batches = two_batches(model.facts());
  const std::span<const Batch> all(batches);
  CHECK_THROWS_AS(calibrate(model, std::span<const Batch>(), AdamWOptions{}), ConfigError);
  CHECK_THROWS_AS(calibrate(model, all, AdamWOptions{}, {.repeats = 0}), ConfigError);
  CHECK_THROWS_AS(calibrate(model, all, AdamWOptions{}, {.update_elements = 0}), ConfigError);
  batches.front().labels.clear();
  batches.front().label_rows.clear();
  CHECK_THROWS_AS(calibrate(model, all, AdamWOptions{}), DataError);
}
