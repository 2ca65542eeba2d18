// Sums with the same bits in any order and any parts, close to those of wider arithmetic.

#include "greentrainer/parallel/exact_sum.hpp"

#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;

namespace {

template <class T>
struct Sums {
  explicit Sums(std::size_t count) : memory(ExactSum<T>::integers(count)), sum(memory) {}
  std::vector<T> rounded() const {
    std::vector<T> result(sum.count());
    sum.round(result);
    return result;
  }
  std::vector<std::int64_t> memory;
  ExactSum<T> sum;
};

/// Numbers of very different sizes, both signs, and zeros.
template <class T>
std::vector<std::vector<T>> numbers_of(std::size_t rows, std::size_t count, int spread, CounterRandom& random) {
  std::vector<std::vector<T>> all(rows, std::vector<T>(count));
  for (auto& row : all) {
    const int of_row = random.below(static_cast<std::uint32_t>(2 * spread + 1)) - spread;
    for (T& x : row) {
      const int exponent = of_row - random.below(60);
      x = static_cast<T>(std::ldexp(static_cast<double>(random.below(1U << 24)) - (1 << 23), exponent - 23));
      if (random.below(9) == 0) x = 0;
    }
  }
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("sums have the same bits in any order and any parts", T, float, double) {
  CounterRandom random(7, "numbers");
  for (int repeat = 0; repeat < 60; ++repeat) {
    const std::size_t rows = 1 + random.below(12), count = 1 + random.below(40);
    const auto all = numbers_of<T>(rows, count, sizeof(T) == 4 ? 90 : 900, random);
    Sums<T> in_order(count);
    for (const auto& row : all) in_order.sum.add(row);
    std::vector<std::size_t> order(rows);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = rows; i-- > 1;) std::swap(order[i], order[random.below(static_cast<std::uint32_t>(i + 1))]);
    for (std::size_t parts = 1; parts <= 4; ++parts) {  // ranks
      std::vector<Sums<T>> of_parts;
      for (std::size_t p = 0; p < parts; ++p) of_parts.emplace_back(count);
      std::int64_t top = ExactSum<T>::nothing;
      for (std::size_t i = 0; i < rows; ++i) of_parts[i % parts].sum.add(all[order[i]]);
      for (const auto& part : of_parts) top = std::max(top, part.sum.top());
      Sums<T> together(count);
      together.sum.raise(top);
      for (auto& part : of_parts) {
        part.sum.raise(top);
        for (std::size_t i = 0; i < together.memory.size(); ++i) together.memory[i] += part.memory[i];
      }
      CHECK(together.sum.top() == in_order.sum.top());
      CHECK(together.memory == in_order.memory);
      CHECK(together.rounded() == in_order.rounded());
    }
  }
}

TEST_CASE_TEMPLATE("sums are off by less than the cut-off digits of the largest number and one rounding", T, float,
                   double) {
  CounterRandom random(11, "numbers");
  for (int repeat = 0; repeat < 60; ++repeat) {
    const std::size_t rows = 1 + random.below(20), count = 1 + random.below(40);
    const auto all = numbers_of<T>(rows, count, 20, random);
    Sums<T> sums(count);
    double largest = 0;
    for (const auto& row : all) {
      sums.sum.add(row);
      for (const T x : row) largest = std::max(largest, std::fabs(static_cast<double>(x)));
    }
    const auto rounded = sums.rounded();
    for (std::size_t i = 0; i < count; ++i) {
      long double exact = 0;
      for (const auto& row : all) exact += static_cast<long double>(row[i]);
      const double cut = static_cast<double>(rows) * largest * std::ldexp(1.0, sizeof(T) == 4 ? -30 : -60);
      const double rounding = std::fabs(static_cast<double>(exact)) * std::numeric_limits<T>::epsilon();
      CHECK(std::fabs(static_cast<double>(static_cast<long double>(rounded[i]) - exact)) <= cut + rounding);
    }
  }
}

TEST_CASE("a number alone, the largest and the smallest of its type among them, comes back as it was") {
  for (const float x : {1.0F, -3.5F, 1e-45F, -3.4028235e38F, 0.0F, 0.99999994F, 1.17549435e-38F}) {
    Sums<float> one(1);
    one.sum.add(std::vector<float>{x});
    CHECK(one.rounded().front() == x);
  }
  for (const double x : {1.7976931348623157e308, -2.2250738585072014e-308, 4.9406564584124654e-324 * 3, -0.1}) {
    Sums<double> one(1);
    one.sum.add(std::vector<double>{x});
    // Below 2^-1050, the unit of the lowest word there is, digits are cut off.
    CHECK(std::fabs(one.rounded().front() - x) <= (std::fabs(x) < 1e-290 ? std::ldexp(1.0, -1050) : 0.0));
  }
}

TEST_CASE("numbers that cancel leave what was beside them") {
  Sums<float> sums(2);
  const float small = std::ldexp(1.0F, -28);
  for (const auto& row : {std::vector<float>{1e8F, 1}, {1, small}, {-1e8F, -1}, {1, small}}) sums.sum.add(row);
  CHECK(sums.rounded()[0] == 2);
  CHECK(sums.rounded()[1] == 2 * small);
}

TEST_CASE("an infinite number, or none, makes all sums none, on whichever part it came") {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Sums<float> one(2), other(2);
    one.sum.add(std::vector<float>{1, 2});
    one.sum.add(std::vector<float>{0, -bad});
    one.sum.add(std::vector<float>{3, 4});
    other.sum.add(std::vector<float>{5, 6});
    CHECK(one.sum.top() == ExactSum<float>::not_finite);
    other.sum.raise(one.sum.top());
    for (const auto* sums : {&one, &other})
      for (const float x : sums->rounded()) CHECK(std::isnan(x));
    one.sum.clear();
    one.sum.add(std::vector<float>{1, 2});
    CHECK(one.rounded() == std::vector<float>{1, 2});
  }
}
