// What a dropout drops is a function of (seed, purpose, step, element) alone, and as much as was asked for.

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/kernel_arguments.hpp"

using namespace greentrainer;

namespace {

std::vector<bool> dropped(const DropoutMask& mask, Extent elements) {
  std::vector<bool> drops;
  for (Extent i = 0; i < elements; ++i) drops.push_back(mask.drops(i));
  return drops;
}

double share(const std::vector<bool>& marked) {
  double count = 0;
  for (const bool m : marked) count += m ? 1 : 0;
  return count / static_cast<double>(marked.size());
}

}  // namespace

TEST_CASE("A stream's blocks are what CounterRandom draws in order") {
  const RandomStream stream(0x123456789abcdefULL, "dropout", 7);
  CounterRandom random(0x123456789abcdefULL, "dropout", 7);
  for (std::uint64_t block = 0; block < 5; ++block) {
    for (const std::uint32_t number : stream.block(block)) CHECK(random.next() == number);
  }
}

TEST_CASE("A dropout drops its share, within five standard deviations, and as much of any part") {
  constexpr Extent n = 40000;
  for (const double probability : {0.1, 0.5, 0.9}) {
    const auto drops = dropped({.stream = {1, "a"}, .probability = probability}, n);
    const double deviation = std::sqrt(probability * (1 - probability));
    CHECK(std::abs(share(drops) - probability) < 5 * deviation / std::sqrt(n));
    for (std::size_t phase = 0; phase < 4; ++phase) {  // of the numbers of one block
      std::vector<bool> quarter;
      for (std::size_t i = phase; i < drops.size(); i += 4) quarter.push_back(drops[i]);
      CHECK(std::abs(share(quarter) - probability) < 5 * deviation / std::sqrt(n / 4));
    }
  }
  CHECK(share(dropped({.stream = {1, "a"}, .probability = 0}, 1000)) == 0);
}

TEST_CASE("Masks of other seeds, purposes and steps are independent; the same again are the same") {
  constexpr Extent n = 40000;
  const auto of = [](std::uint64_t seed, const char* purpose, std::uint64_t step) {
    return dropped({.stream = {seed, purpose, step}, .probability = 0.5}, n);
  };
  const auto first = of(1, "layer 0", 3);
  CHECK(first == of(1, "layer 0", 3));
  for (const auto& other : {of(2, "layer 0", 3), of(1, "layer 1", 3), of(1, "layer 0", 4)}) {
    std::vector<bool> equal;
    for (std::size_t i = 0; i < first.size(); ++i) equal.push_back(first[i] == other[i]);
    CHECK(std::abs(share(equal) - 0.5) < 5 * 0.5 / std::sqrt(n));
  }
}
