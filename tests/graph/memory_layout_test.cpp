// One block of memory for everything that lives for a while: nothing overlaps, little is wasted.

#include "greentrainer/graph/memory_layout.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

namespace {

Lifetimes random_lifetimes(std::uint64_t seed) {
  CounterRandom random(seed, "lifetimes");
  Lifetimes lifetimes;
  const auto count = random.below(60);
  for (std::uint32_t i = 0; i < count; ++i) {
    const int born = static_cast<int>(random.below(40)), dies = born + static_cast<int>(random.below(12));
    lifetimes.storages.push_back(
        {.shape = {.rows = Rows::decoder_tokens, .cols = random.below(300)}, .born = born, .dies = dies});
  }
  return lifetimes;
}

/// Storages as a deep model has them: some live from the forward to the backward pass, nested, others for a moment; few
/// sizes, many of each.
Lifetimes deep_lifetimes(std::uint64_t seed, int count) {
  CounterRandom random(seed, "deep");
  Lifetimes lifetimes;
  for (int i = 0; i < count; ++i) {
    const bool kept = random.below(3) == 0, backward = random.below(2) == 0;
    const int born = backward && !kept ? 2 * count - i : i;
    const int dies = kept ? 2 * count - i : born + static_cast<int>(random.below(6));
    lifetimes.storages.push_back({.shape = {.rows = Rows::decoder_tokens, .cols = 64 * (1 + random.below(9))},
                                  .born = born,
                                  .dies = dies,
                                  .gradient = backward});
  }
  return lifetimes;
}

/// The rule by its words: of all that lives at the same time, in the order of offsets, the smallest gap.
std::vector<Bytes> offsets_by_the_rule(const Lifetimes& lifetimes, const Workload& workload) {
  const auto& storages = lifetimes.storages;
  const auto size = [&](std::size_t i) {
    return MemoryLayout::aligned(Lifetimes::elements(storages[i], workload) * 4);
  };
  std::vector<std::size_t> order(storages.size()), placed;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size(a) > size(b); });
  std::vector<Bytes> offsets(storages.size(), 0);
  for (const std::size_t i : order) {
    if (size(i) == 0) continue;
    Bytes best = -1, best_gap = 0, end = 0;
    for (const std::size_t j : placed) {
      if (storages[j].dies < storages[i].born || storages[i].dies < storages[j].born) continue;
      const Bytes gap = offsets[j] - end;
      if (gap >= size(i) && (best < 0 || gap < best_gap)) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, offsets[j] + size(j));
    }
    offsets[i] = best < 0 ? end : best;
    placed.push_back(i);
    std::stable_sort(placed.begin(), placed.end(),
                     [&](std::size_t a, std::size_t b) { return offsets[a] < offsets[b]; });
  }
  return offsets;
}

}  // namespace

TEST_CASE("storages lie where the rule puts them, however many there are") {
  const Workload workload = uniform_workload(1, 16, 16);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Lifetimes lifetimes = random_lifetimes(seed);
    REQUIRE(make_memory_layout(lifetimes, workload, 4).offsets == offsets_by_the_rule(lifetimes, workload));
  }
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Lifetimes lifetimes = deep_lifetimes(seed, 1500);
    CHECK(make_memory_layout(lifetimes, workload, 4).offsets == offsets_by_the_rule(lifetimes, workload));
  }
}

TEST_CASE("what lives at the same time does not overlap, begins aligned, and fits into the block") {
  const Workload workload = uniform_workload(1, 17, 17);
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    const Lifetimes lifetimes = random_lifetimes(seed);
    const MemoryLayout layout = make_memory_layout(lifetimes, workload, 4);
    const auto bytes = [&](std::size_t i) { return Lifetimes::elements(lifetimes.storages[i], workload) * 4; };
    for (std::size_t i = 0; i < lifetimes.storages.size(); ++i) {
      REQUIRE(layout.offsets[i] % MemoryLayout::alignment == 0);
      REQUIRE(layout.offsets[i] + bytes(i) <= layout.total);
      for (std::size_t j = 0; j < i; ++j) {
        const auto &a = lifetimes.storages[i], &b = lifetimes.storages[j];
        const bool together = a.born <= b.dies && b.born <= a.dies;
        const bool overlap =
            layout.offsets[i] < layout.offsets[j] + bytes(j) && layout.offsets[j] < layout.offsets[i] + bytes(i);
        REQUIRE(!(together && overlap));
      }
    }
  }
}

TEST_CASE("the block is at least what lives at the worst moment, and on average within a tenth of it") {
  const Workload workload = uniform_workload(1, 64, 64);
  double needed = 0, taken = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Lifetimes lifetimes = random_lifetimes(seed);
    Bytes worst = 0;
    for (int time = 0; time < 60; ++time) {
      Bytes live = 0;
      for (const auto& s : lifetimes.storages) {
        if (s.born <= time && time <= s.dies) live += MemoryLayout::aligned(Lifetimes::elements(s, workload) * 4);
      }
      worst = std::max(worst, live);
    }
    const MemoryLayout layout = make_memory_layout(lifetimes, workload, 4);
    CHECK(layout.total >= worst);
    needed += static_cast<double>(worst);
    taken += static_cast<double>(layout.total);
  }
  CHECK(taken <= 1.1 * needed);
}
