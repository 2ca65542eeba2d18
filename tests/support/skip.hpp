#pragma once

#include <doctest/doctest.h>

namespace greentrainer::testing {

inline int skipped_cases = 0;

}  // namespace greentrainer::testing

/// Leaves a test case whose device or data is not there, and says why. Its file is then reported as skipped, not as
/// passed, so keep such cases in a file of their own.
#define GREENTRAINER_SKIP(...)              \
  do {                                      \
    ++greentrainer::testing::skipped_cases; \
    MESSAGE("SKIP ", __VA_ARGS__);          \
    return;                                 \
  } while (false)
