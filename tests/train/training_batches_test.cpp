#include "greentrainer/train/training_batches.hpp"

#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

namespace {

std::vector<Example> random_examples(std::size_t count, bool with_source, CounterRandom& random) {
  std::vector<Example> examples(count);
  for (Example& example : examples) {
    example.input_ids.assign(1 + random.below(9), 0);
    for (std::size_t t = 0; t < example.input_ids.size(); ++t)
      example.labels.push_back(random.below(2) == 0 ? ignore_label : 0);
    if (with_source) example.source_ids.assign(1 + random.below(9), 0);
  }
  return examples;
}

}  // namespace

TEST_CASE("steps are priced from lengths as the batches that are made of them, whole epochs or not") {
  CounterRandom random(1, "batches");
  for (int trial = 0; trial < 60; ++trial) {
    CAPTURE(trial);
    const std::vector<Example> examples = random_examples(1 + random.below(23), trial % 2 == 0, random);
    const FitOptions options{.epochs = 4,
                             .batch_size = 1 + random.below(5),
                             .gradient_accumulation = 1 + random.below(3),
                             .shuffle = trial % 3 != 0,
                             .seed = static_cast<std::uint64_t>(trial)};
    const TrainingBatches batches(examples, options);
    for (int range = 0; range < 8; ++range) {
      const auto steps = static_cast<std::uint32_t>(batches.steps());
      const Extent first = random.below(steps + 1),
                   end = first + random.below(steps - static_cast<std::uint32_t>(first) + 1);
      Workload expected;
      for (Extent step = first; step < end; ++step) {
        for (const auto& numbers : batches.of_step(step)) expected += workload_of(batches.make(numbers));
      }
      CAPTURE(first);
      CAPTURE(end);
      REQUIRE(batches.workload_of_steps(first, end) == expected);
    }
  }
}

TEST_CASE("ranks are dealt the examples of a step whole, each once, in batches of the size asked for") {
  CounterRandom random(2, "dealt");
  for (int trial = 0; trial < 40; ++trial) {
    CAPTURE(trial);
    const std::vector<Example> examples = random_examples(1 + random.below(30), trial % 2 == 0, random);
    const FitOptions options{.epochs = 2,
                             .batch_size = 1 + random.below(5),
                             .gradient_accumulation = 1 + random.below(4),
                             .seed = static_cast<std::uint64_t>(trial)};
    const TrainingBatches batches(examples, options);
    for (Extent step = 0; step < batches.steps(); ++step) {
      CHECK(batches.dealt(step, 1).front() == batches.of_step(step));
      std::vector<std::size_t> expected;
      for (const auto& numbers : batches.of_step(step)) expected.insert(expected.end(), numbers.begin(), numbers.end());
      std::sort(expected.begin(), expected.end());
      for (int ranks = 2; ranks <= 4; ++ranks) {
        const auto dealt = batches.dealt(step, ranks);
        CHECK(static_cast<int>(dealt.size()) == ranks);
        std::vector<std::size_t> all;
        for (const auto& of_rank : dealt) {
          CHECK(static_cast<Extent>(of_rank.size()) <= options.gradient_accumulation);
          for (const auto& numbers : of_rank) {
            CHECK(!numbers.empty());
            CHECK(static_cast<Extent>(numbers.size()) <= options.batch_size);
            all.insert(all.end(), numbers.begin(), numbers.end());
          }
        }
        std::sort(all.begin(), all.end());
        CHECK(all == expected);
      }
    }
  }
}
