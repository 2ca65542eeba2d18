// Every input that the fuzzer's corpus has, for folders with quantised weights.

#include <doctest/doctest.h>

#include "fuzz/replay.hpp"
#include "fuzz/targets/quantized.hpp"

TEST_CASE("quantised folders of the fuzzer's corpus are read, or refused by an error") {
  greentrainer::fuzz::replay("quantized", greentrainer::fuzz::quantized);
}
