#include "greentrainer/core/checked_integer.hpp"

#include <limits>

#include <doctest/doctest.h>

using namespace greentrainer;

TEST_CASE("sums and products that 63 bits hold are what they are, others are errors") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK((CheckedInteger(3) * 5 + 7).value() == 22);
  CHECK((CheckedInteger(most - 1) + 1).value() == most);
  CHECK((CheckedInteger(most / 4) * 4).value() == most / 4 * 4);
  CHECK_THROWS_AS(CheckedInteger(most) + 1, ConfigError);
  CHECK_THROWS_AS(CheckedInteger(most / 4 + 1) * 4, ConfigError);
  CheckedInteger sum = most;
  CHECK_THROWS_AS(sum += most, ConfigError);
}
