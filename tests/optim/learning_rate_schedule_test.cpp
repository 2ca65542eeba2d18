// Values of transformers' get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup.

#include "greentrainer/optim/learning_rate_schedule.hpp"

#include <limits>

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE("schedules rise over the warm-up and fall to zero") {
  const LearningRateSchedule linear{LearningRateSchedule::Kind::linear, 4};
  CHECK(linear.factor(0, 20) == 0);
  CHECK(linear.factor(2, 20) == doctest::Approx(0.5));
  CHECK(linear.factor(4, 20) == doctest::Approx(1));
  CHECK(linear.factor(12, 20) == doctest::Approx(0.5));
  CHECK(linear.factor(19, 20) == doctest::Approx(1.0 / 16));
  const LearningRateSchedule cosine{LearningRateSchedule::Kind::cosine, 4};
  CHECK(cosine.factor(4, 20) == doctest::Approx(1));
  CHECK(cosine.factor(8, 20) == doctest::Approx(0.8535533906));
  CHECK(cosine.factor(12, 20) == doctest::Approx(0.5));
  CHECK(cosine.factor(16, 20) == doctest::Approx(0.1464466094));
  const LearningRateSchedule constant{LearningRateSchedule::Kind::constant, 2};
  CHECK(constant.factor(1, 20) == doctest::Approx(0.5));
  CHECK(constant.factor(19, 20) == 1);
  CHECK(LearningRateSchedule{}.factor(0, 10) == 1);  // without warm-up the first step is at the peak
  CHECK_THROWS_AS(LearningRateSchedule::parse("step"), UsageError);
}

TEST_CASE("a schedule can be any function of the step, whose factors are checked") {
  const LearningRateSchedule own{.of_step = [](Extent step, Extent total) {
    return static_cast<double>(step) - 0.5 * static_cast<double>(total);
  }};
  CHECK(own.factor(7, 10) == 2);
  CHECK_THROWS_WITH_AS(own.factor(4, 10),
                       doctest::Contains("of_step: expected a finite factor of at least 0 at step 4"), ConfigError);
  const LearningRateSchedule none{.of_step = [](Extent, Extent) { return std::numeric_limits<double>::infinity(); }};
  CHECK_THROWS_AS(none.factor(0, 1), ConfigError);
}
