// Values of transformers' get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup.

#include "greentrainer/optim/learning_rate_schedule.hpp"

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
