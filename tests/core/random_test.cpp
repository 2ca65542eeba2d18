// Random numbers: Philox by its published vectors, uniform and unbiased what is drawn from it.

#include "greentrainer/core/random.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE("Philox4x32-10 gives the vectors that its authors published") {  // kat_vectors of Random123
  using Block = std::array<std::uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("numbers depend on seed, purpose and step, and on nothing else") {
  const auto first = [](std::uint64_t seed, const char* purpose, std::uint64_t step) {
    CounterRandom random(seed, purpose, step);
    return std::pair(random.next(), random.next());
  };
  const auto here = first(1, "shuffle", 0);
  CHECK(first(1, "shuffle", 0) == here);
  CHECK(first(2, "shuffle", 0) != here);
  CHECK(first(1ULL << 32 | 1, "shuffle", 0) != here);  // all 64 bits of the seed
  CHECK(first(1, "dropout", 0) != here);
  CHECK(first(1, "shuffle", 1) != here);
  CHECK(first(1, "shuffle", 1ULL << 32) != here);
}

TEST_CASE("uniform and normal numbers have the moments they should, within five standard errors") {
  CounterRandom random(3, "moments");
  constexpr int n = 200000;
  double uniform = 0, normal = 0, squares = 0, least = 1, most = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform(), z = random.normal();
    uniform += u;
    normal += z;
    squares += z * z;
    least = std::min(least, u);
    most = std::max(most, u);
  }
  const double error = 5 / std::sqrt(static_cast<double>(n));
  CHECK(std::abs(uniform / n - 0.5) < error * std::sqrt(1.0 / 12));
  CHECK(std::abs(normal / n) < error);
  CHECK(std::abs(squares / n - 1) < error * std::sqrt(2.0));
  CHECK(least >= 0);
  CHECK(most < 1);
}

TEST_CASE("whole numbers below a bound are equally likely, also where the bound does not divide 2^32") {
  CounterRandom random(4, "below");
  constexpr std::uint32_t bound = 3U << 30;  // a plain remainder would give the first third twice as often
  std::array<int, 3> thirds{};
  constexpr int n = 30000;
  for (int i = 0; i < n; ++i) {
    const std::uint32_t x = random.below(bound);
    REQUIRE(x < bound);
    ++thirds[x >> 30];
  }
  for (const int count : thirds) CHECK(std::abs(count - n / 3) < 5 * std::sqrt(n * 2.0 / 9));
  for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);
}

TEST_CASE("every order of a shuffle is equally likely") {
  CounterRandom random(5, "shuffle");
  std::map<std::vector<int>, int> orders;
  constexpr int n = 24000;
  for (int i = 0; i < n; ++i) {
    std::vector<int> items = {0, 1, 2, 3};
    random.shuffle(std::span(items));
    ++orders[items];
  }
  CHECK(orders.size() == 24);
  for (const auto& [order, count] : orders) CHECK(std::abs(count - n / 24) < 5 * std::sqrt(n / 24.0));
  std::vector<int> none;
  random.shuffle(std::span(none));
}
