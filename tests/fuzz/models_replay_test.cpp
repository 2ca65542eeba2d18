// Every input that the fuzzers' corpora have, for models' configurations and adapters.

#include <doctest/doctest.h>

#include "fuzz/replay.hpp"
#include "fuzz/targets/adapter.hpp"
#include "fuzz/targets/config.hpp"

namespace fuzz = greentrainer::fuzz;

TEST_CASE("configurations and adapters of the fuzzers' corpora are read, or refused by an error") {
  fuzz::replay("config", fuzz::config);
  fuzz::replay("adapter", fuzz::adapter);
}
