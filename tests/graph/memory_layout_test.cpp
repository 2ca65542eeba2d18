// One block of memory for everything that lives for a while: nothing overlaps, little is wasted.

#include "greentrainer/graph/memory_layout.hpp"

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

}  // namespace

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
