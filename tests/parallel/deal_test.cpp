// Items are dealt to ranks whole, each once, by their sizes alone.

#include "greentrainer/parallel/deal.hpp"

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

TEST_CASE("every item is dealt once, in its order, and no rank is far above an even share") {
  CounterRandom random(3, "sizes");
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<Extent> sizes(random.below(40));
    for (Extent& size : sizes) size = 1 + random.below(100);
    for (int ranks = 1; ranks <= 5; ++ranks) {
      const auto dealt = deal(sizes, ranks);
      REQUIRE(static_cast<int>(dealt.size()) == ranks);
      std::vector<int> seen(sizes.size(), 0);
      Extent total = 0, largest_load = 0, largest = 0;
      for (const auto& items : dealt) {
        CHECK(std::is_sorted(items.begin(), items.end()));
        Extent load = 0;
        for (const std::size_t item : items) {
          ++seen[item];
          load += sizes[item];
          largest = std::max(largest, sizes[item]);
        }
        total += load;
        largest_load = std::max(largest_load, load);
      }
      CHECK(seen == std::vector<int>(sizes.size(), 1));
      // A rank got its last item while it had the least, so at most an even share.
      CHECK(largest_load * ranks <= total + largest * (ranks - 1));
      CHECK(deal(sizes, ranks) == dealt);
    }
  }
}

TEST_CASE("large items go first; equal ones to the lowest rank; ranks without an item have none") {
  using Dealt = std::vector<std::vector<std::size_t>>;
  CHECK(deal(std::vector<Extent>{1, 9, 2, 5, 4}, 2) == Dealt{{1, 2}, {0, 3, 4}});
  CHECK(deal(std::vector<Extent>{3, 3, 3}, 2) == Dealt{{0, 2}, {1}});
  CHECK(deal(std::vector<Extent>{7}, 3) == Dealt{{0}, {}, {}});
  CHECK(deal(std::vector<Extent>{2, 1, 2}, 1) == Dealt{{0, 1, 2}});
}
