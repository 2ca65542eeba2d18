#include "greentrainer/data/collate.hpp"

#include <numeric>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

namespace {

Example random_example(CounterRandom& random, bool with_source) {
  Example example;
  const std::uint32_t length = 1 + random.below(9);
  for (std::uint32_t t = 0; t < length; ++t) {
    example.input_ids.push_back(static_cast<Index>(random.below(50)));
    example.labels.push_back(random.uniform() < 0.5 ? ignore_label : example.input_ids.back());
  }
  for (std::uint32_t t = 0; with_source && t < 1 + length % 4; ++t) example.source_ids.push_back(static_cast<Index>(t));
  return example;
}

}  // namespace

TEST_CASE("the workload of a batch is the sum of its examples' workloads, but for the step") {
  CounterRandom random(3, "examples");
  for (int round = 0; round < 200; ++round) {
    std::vector<Example> examples;
    for (std::uint32_t i = 0; i < 1 + random.below(5); ++i) examples.push_back(random_example(random, round % 2 == 1));
    std::vector<std::size_t> all(examples.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    Workload sum;
    for (const Example& example : examples) sum += workload_of(example);
    sum[Measure::steps] = 1;
    CHECK(sum == workload_of(collate(examples, all)));
  }
}
