// Workloads: what costs are linear in, counted by hand.

#include "greentrainer/core/workload.hpp"

#include <algorithm>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/data/collate.hpp"

using namespace greentrainer;

namespace {

PackedTokens packed(const std::vector<Index>& lengths) {
  PackedTokens tokens;
  for (const Index length : lengths) {
    for (Index t = 0; t < length; ++t) {
      tokens.ids.push_back(0);
      tokens.positions.push_back(t);
    }
    tokens.offsets.push_back(static_cast<Index>(tokens.ids.size()));
  }
  return tokens;
}

}  // namespace

TEST_CASE("a batch of sequences of 3 and 1 tokens with sources of 2 and 5") {
  const Batch batch{.decoder = packed({3, 1}), .encoder = packed({2, 5}), .label_rows = {0, 2}, .labels = {7, 8}};
  const Workload w = workload_of(batch);
  CHECK(w[Measure::steps] == 1);
  CHECK(w[Measure::decoder_sequences] == 2);
  CHECK(w[Measure::decoder_tokens] == 4);
  CHECK(w[Measure::labelled_tokens] == 2);
  CHECK(w[Measure::decoder_pairs] == (1 + 2 + 3) + 1);  // a token sees itself and those before it
  CHECK(w[Measure::encoder_sequences] == 2);
  CHECK(w[Measure::encoder_tokens] == 7);
  CHECK(w[Measure::encoder_pairs] == 2 * 2 + 5 * 5);  // a source's tokens see each other
  CHECK(w[Measure::cross_pairs] == 3 * 2 + 1 * 5);
  CHECK(w[Measure::labelled_pairs] == 1 + 3);  // rows 0 and 2 of the first sequence
  CHECK(w[Measure::labelled_cross_pairs] == 2 * 2);
  CHECK(w[Measure::context_tokens] == 2);  // rows 1 and 3
  CHECK(w[Measure::context_pairs] == 2 + 1);
}

TEST_CASE("a uniform workload is that of a batch in which the last tokens of each sequence are predicted") {
  Batch batch{.decoder = packed({6, 6, 6}), .encoder = packed({4, 4, 4}), .label_rows = {}, .labels = {}};
  const auto label = [&](Index first, Index end) {
    batch.label_rows.clear();
    for (Index row = 0; row < 18; ++row) {
      if (row % 6 >= first && row % 6 < end) batch.label_rows.push_back(row);
    }
    batch.labels.assign(batch.label_rows.size(), 0);
  };
  label(1, 6);  // a target's token is predicted by its own row
  CHECK(uniform_workload(3, 6, 5, 4) == workload_of(batch));
  batch.encoder = {};
  label(0, 5);  // a token of a text by the row before it
  CHECK(uniform_workload(3, 6, 5) == workload_of(batch));
  label(3, 5);
  CHECK(uniform_workload(3, 6, 2) == workload_of(batch));
  label(0, 6);
  CHECK(uniform_workload(3, 6, 6) == workload_of(batch));
}

TEST_CASE("the cost of two batches is the sum of their costs") {
  LinearCost cost = per(Measure::decoder_tokens, 10) + per(Measure::decoder_pairs, 3) + per(Measure::steps, 100);
  const Workload a = uniform_workload(1, 5, 5), b = uniform_workload(2, 7, 1);
  CHECK(evaluate(cost, a) == 10 * 5 + 3 * 15 + 100);
  CHECK(evaluate(cost, a + b) == evaluate(cost, a) + evaluate(cost, b));
  CHECK(evaluate(cost * 3 - cost, b) == 2 * evaluate(cost, b));
}

TEST_CASE("pairs in a window are those of a query with the last keys up to its own, counted one by one") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    CounterRandom random(seed, "windows");
    const Extent window = 1 + random.below(12);
    std::vector<Example> examples(1 + random.below(4));
    Extent pairs = 0, labelled = 0;
    for (Example& example : examples) {
      const Extent length = 1 + random.below(20);
      for (Extent t = 0; t < length; ++t) {
        example.input_ids.push_back(3);
        example.labels.push_back(random.uniform() < 0.5 ? ignore_label : 3);
        for (Extent key = 0; key <= t; ++key) {
          if (t - key >= window) continue;
          ++pairs;
        }
        for (Extent key = 0; key < t && example.labels.back() != ignore_label; ++key)  // predicted by the row before
          if (t - 1 - key < window) ++labelled;
      }
    }
    std::vector<std::size_t> all(examples.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    const Workload w = workload_of(collate(examples, all), window);
    CHECK(w[Measure::window_pairs] == pairs);
    CHECK(w[Measure::labelled_window_pairs] == labelled);
    CHECK(w[Measure::context_window_pairs] == pairs - labelled);
    Workload sum;
    for (const Example& example : examples) sum += workload_of(example, window);
    sum[Measure::steps] = 1;
    CHECK(sum == w);
    CHECK(largest_batch_of({w}, 1) == w);
  }
}

TEST_CASE("a uniform workload counts pairs in a window, too") {
  Batch batch{.decoder = packed({9, 9}), .encoder = {}, .label_rows = {4, 5, 6, 7, 13, 14, 15, 16}, .labels = {}};
  batch.labels.assign(8, 0);
  for (const Extent window : {1, 3, 6, 9, 40})
    CHECK(uniform_workload(2, 9, 4, 0, window) == workload_of(batch, window));
}

TEST_CASE("a cost of pairs in a window is refused for a workload that they were not counted for") {
  LinearCost cost = per(Measure::window_pairs, 3);
  cost.window = 4;
  CHECK(evaluate(cost, uniform_workload(1, 6, 6, 0, 4)) == 3 * (1 + 2 + 3 + 4 + 4 + 4));
  CHECK(evaluate(cost, Workload{}) == 0);
  CHECK_THROWS_WITH_AS(evaluate(cost, uniform_workload(1, 6, 6)), doctest::Contains("window of 4"), ConfigError);
  LinearCost other = cost;
  other.window = 5;
  CHECK_THROWS_WITH_AS(cost += other, doctest::Contains("got 4 and 5"), ConfigError);
}
