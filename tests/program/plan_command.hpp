#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "program/run_program.hpp"

namespace greentrainer::testing {

/// What greentrainer plan --json prints with these arguments, which it must accept.
inline Json plan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"plan", "--json"});
  const auto outcome = run_program(std::move(arguments));
  CAPTURE(outcome.err);
  REQUIRE(outcome.status == 0);
  return outcome.json();
}

/// Of a field of all entries of a list.
inline std::int64_t sum(const Json& list, const char* field) {
  std::int64_t total = 0;
  for (const auto& entry : list) total += entry.at(field).get<std::int64_t>();
  return total;
}

}  // namespace greentrainer::testing
