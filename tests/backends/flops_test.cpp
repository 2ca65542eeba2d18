#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/counting.hpp"

namespace greentrainer::testing {
namespace {

TEST_CASE(
    "A kernel's declared FLOPs are those that the textbook algorithm executes, and the counting backend counts them") {
  Flops executed = 0;
  CountingBackend<ReferenceBackend<CountingScalar>> backend;
  for_each_operator_case([&](const auto& test) {
    CAPTURE(test.name());
    backend.reset();
    run_case(backend, test, initial_values<CountingScalar>(test), &executed);
    CHECK(executed == test.flops);
    CHECK(backend.flops() == test.flops);
    REQUIRE(backend.by_kernel().contains(test.kernel));
    CHECK(backend.by_kernel().at(test.kernel).flops == test.flops);
    CHECK(backend.total().calls == 1);
  });
}

}  // namespace
}  // namespace greentrainer::testing
