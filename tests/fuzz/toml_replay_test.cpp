// Every input that the fuzzers' corpora have, for the program's configuration files.

#include <doctest/doctest.h>

#include "fuzz/replay.hpp"
#include "fuzz/targets/toml.hpp"

TEST_CASE("configuration files of the fuzzers' corpora are read, or refused by an error") {
  greentrainer::fuzz::replay("toml", greentrainer::fuzz::toml);
}
