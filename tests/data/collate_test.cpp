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
  example.shifts_labels = random.below(2) == 0;
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

TEST_CASE("labels that are not shifted belong to their own rows, which are all read; numbers come in the rows' order") {
  const std::vector<Example> examples = {{.input_ids = {4, 5, 6},
                                          .labels = {ignore_label, 1, 2},
                                          .shifts_labels = false,
                                          .features = {1, 2, 3, 4, 5, 6},
                                          .targets = {10, 20}},
                                         regression_example({7, 8}, {30}),
                                         class_example({}, 1)};
  const Batch batch = collate(examples, std::vector<std::size_t>{1, 0});
  CHECK(batch.decoder.ids == std::vector<Index>{0, 4, 5, 6});
  CHECK(batch.label_rows == std::vector<Index>{0, 2, 3});
  CHECK(batch.labels == std::vector<Index>{0, 1, 2});
  CHECK(batch.features == std::vector<float>{7, 8, 1, 2, 3, 4, 5, 6});
  CHECK(batch.targets == std::vector<float>{30, 10, 20});
  CHECK_THROWS_AS(collate(examples, std::vector<std::size_t>{2}), DataError);  // a sequence without tokens
  const std::vector<Example> encoded = {encoder_class_example({8, 9}, 1)};
  const Batch with_source = collate(encoded, std::vector<std::size_t>{0});
  CHECK(with_source.encoder.ids == std::vector<Index>{8, 9});
  CHECK(with_source.label_rows == std::vector<Index>{0});
}
