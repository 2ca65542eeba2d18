#include "greentrainer/metrics/paired_bootstrap.hpp"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

/// Standard error of a mean that a bootstrap tends to: the root of (population variance / n).
double bootstrap_error(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("the error of one run is that of the examples' differences, whatever both methods share") {
  CounterRandom random(5, "scores");
  ScoresByRun method(1), other(1);
  std::vector<double> differences;
  for (int i = 0; i < 150; ++i) {
    const double shared = 100 * random.normal(), difference = 0.3 + random.normal();
    method[0].push_back(shared + difference);
    other[0].push_back(shared);
    differences.push_back(difference);
  }
  const PairedDifference found = paired_difference(method, other, {}, 20000);
  const double error = bootstrap_error(differences);
  CHECK(found.standard_error == doctest::Approx(error).epsilon(0.03));
  CHECK(found.low == doctest::Approx(found.mean - 1.96 * error).epsilon(0.05));
  CHECK(found.high == doctest::Approx(found.mean + 1.96 * error).epsilon(0.05));
}

TEST_CASE("where examples agree, the error is that of the runs") {
  const std::vector<double> of_run = {0.1, 0.4, -0.2, 0.3, 0.9};
  ScoresByRun method, other;
  for (const double difference : of_run) {
    method.emplace_back(40, 1 + difference);
    other.emplace_back(40, 1.0);
  }
  const PairedDifference found = paired_difference(method, other, {}, 20000);
  CHECK(found.mean == doctest::Approx(0.3));
  CHECK(found.standard_error == doctest::Approx(bootstrap_error(of_run)).epsilon(0.03));
}

TEST_CASE("examples count by their weights") {
  const PairedDifference found = paired_difference({{1, 5}}, {{0, 1}}, {3, 1});
  CHECK(found.mean == doctest::Approx((3 * 1 + 1 * 4) / 4.0));
}

TEST_CASE("equal methods differ by nothing, and equal arguments give equal results") {
  const ScoresByRun scores = {{1, 2, 3}, {2, 2, 5}};
  const PairedDifference none = paired_difference(scores, scores);
  CHECK(none.mean == 0);
  CHECK(none.standard_error == 0);
  const ScoresByRun others = {{1, 2.5, 3}, {2, 1, 5}};
  const PairedDifference once = paired_difference(scores, others), again = paired_difference(scores, others);
  CHECK(once.low == again.low);
  CHECK(once.standard_error == again.standard_error);
}

TEST_CASE("scores that cannot be paired are refused") {
  CHECK_THROWS_AS(paired_difference({}, {}), ConfigError);
  CHECK_THROWS_AS(paired_difference({{1}}, {{1}, {2}}), ConfigError);
  CHECK_THROWS_AS(paired_difference({{1, 2}}, {{1}}), ConfigError);
  CHECK_THROWS_AS(paired_difference({{}}, {{}}), ConfigError);
  CHECK_THROWS_AS(paired_difference({{1}}, {{1}}, {1, 1}), ConfigError);
  CHECK_THROWS_AS(paired_difference({{1}}, {{1}}, {}, 1), ConfigError);
}
