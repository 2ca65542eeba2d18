// What pilots say, and when they cannot tell.

#include "greentrainer/train/pilot_verdict.hpp"

#include <cstddef>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

using namespace greentrainer;

namespace {

/// Of ten examples of differing losses: each lies `gain` below the untrained model's, and by `noise` up or down in
/// turn.
Evaluation evaluation(double gain, double noise = 0, std::size_t examples = 10) {
  Evaluation made;
  for (std::size_t i = 0; i < examples; ++i) {
    const double loss = 3.0 + static_cast<double>(i % 3) - gain + (i % 2 == 0 ? noise : -noise);
    made.examples.push_back({.loss = loss, .tokens = static_cast<Extent>(1 + i / 2 % 4)});
    made.loss += loss * static_cast<double>(1 + i / 2 % 4);
    made.tokens += static_cast<Extent>(1 + i / 2 % 4);
  }
  made.loss /= static_cast<double>(made.tokens);
  return made;
}

}  // namespace

TEST_CASE("a candidate that is lower on every row is chosen, and surely") {
  const Evaluation before = evaluation(0), low = evaluation(0.5), high = evaluation(0.1);
  const PilotVerdict verdict = judge_pilots(before, {&high, &low}, 0);
  CHECK(verdict.improves);
  CHECK(verdict.best == 1);
  CHECK(verdict.chosen == std::optional<std::size_t>(1));
  CHECK(verdict.alike.empty());
  CHECK(verdict.is_sure());
}

TEST_CASE("rows that disagree leave it at the default, unless that is clearly behind") {
  const Evaluation before = evaluation(0), low = evaluation(0.30), near_low = evaluation(0.29, 0.6),
                   high = evaluation(0.1);
  const PilotVerdict kept = judge_pilots(before, {&near_low, &low, &high}, 0);
  CHECK(kept.improves);
  CHECK(kept.best == 1);
  CHECK(kept.alike == std::vector<std::size_t>{0});
  CHECK_FALSE(kept.chosen);
  CHECK_FALSE(kept.is_sure());

  const PilotVerdict left = judge_pilots(before, {&near_low, &low, &high}, 2);
  CHECK(left.chosen == std::optional<std::size_t>(1));
  CHECK_FALSE(left.is_sure());  // not told apart from another one

  CHECK(judge_pilots(before, {&near_low, &low, &high}, 1).chosen == std::optional<std::size_t>(1));
  CHECK(judge_pilots(before, {&near_low, &low}, std::nullopt).chosen == std::optional<std::size_t>(1));
}

TEST_CASE("nothing is chosen where no candidate is clearly better than no training") {
  const Evaluation before = evaluation(0), noisy = evaluation(0.01, 0.6), worse = evaluation(-0.4);
  for (const std::optional<std::size_t> by_default : {std::optional<std::size_t>(), std::optional<std::size_t>(0)}) {
    const PilotVerdict verdict = judge_pilots(before, {&noisy, &worse}, by_default);
    CHECK_FALSE(verdict.improves);
    CHECK_FALSE(verdict.chosen);
    CHECK(verdict.best == 0);
  }
}

TEST_CASE("a difference of losses weighs rows by their labelled tokens") {
  Evaluation one{.examples = {{.loss = 1, .tokens = 3}, {.loss = 2, .tokens = 1}}},
      other{.examples = {{.loss = 2, .tokens = 3}, {.loss = 6, .tokens = 1}}};
  CHECK(loss_difference(one, other).mean == doctest::Approx((3 * 1.0 + 1 * 4.0) / 4));
  CHECK_THROWS_AS(loss_difference(one, evaluation(0)), ConfigError);
}
