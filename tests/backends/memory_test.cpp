#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/counting.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/backends/opaque.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer::testing {
namespace {

TEST_CASE("The counting backend knows live and peak bytes, allocations and copies") {
  CountingBackend<EigenBackend<float>> backend(1);
  void* a = backend.allocate(1000);
  void* b = backend.allocate(500);
  backend.deallocate(a, 1000);
  CHECK(backend.memory().live == 500);
  CHECK(backend.memory().peak == 1500);
  CHECK(backend.memory().allocations == 2);
  backend.reset();
  CHECK(backend.memory().live == 500);
  CHECK(backend.memory().peak == 500);
  CHECK(backend.memory().allocations == 0);
  backend.zero(b, 500);
  backend.copy(static_cast<char*>(b) + 100, b, 100);
  CHECK(backend.memory().copied == 100);
  backend.deallocate(b, 500);
  CHECK(backend.memory().live == 0);
}

TEST_CASE("The counting backend knows the bytes of a kernel's operands, each met once") {
  CountingBackend<EigenBackend<float>> backend(1);
  const auto bytes = [&](const auto& test) {
    backend.reset();
    run_case(backend, test, initial_values<float>(test));
    return backend.total().bytes;
  };
  CHECK(bytes(matmul_case(3, 5, 7, Transpose::no, Transpose::yes, Write::overwrite)) == 4 * (3 * 7 + 5 * 7 + 3 * 5));
  CHECK(bytes(adamw_step_case(10)) == 4 * 4 * 10);
  CHECK(bytes(adamw_candidate_case(10, State::none)) == 4 * 2 * 10);
  CHECK(bytes(update_dot_case(10)) == 4 * 3 * 10);
}

TEST_CASE("The opaque backend refuses memory of the host, and gives out none that the host could read") {
  OpaqueBackend<EigenBackend<float>> backend(1);
  float host[4] = {};
  CHECK_THROWS_AS(backend.scale(4, host, 2.0), BackendError);
  CHECK_THROWS_AS(backend.add_bias(Matrix<float>(host, 1, 4), nullptr), BackendError);
  CHECK_THROWS_AS(backend.zero(host, sizeof host), BackendError);
  void* memory = backend.allocate(64);
  CHECK((reinterpret_cast<std::uintptr_t>(memory) >> 48) != 0);
  backend.deallocate(memory, 64);
}

TEST_CASE_TEMPLATE("Products whose shapes do not fit are refused, with both shapes in the message", T, float, double) {
  EigenBackend<T> backend(1);
  std::vector<T> x(12);
  const Matrix<T> m(x.data(), 3, 4);
  CHECK_THROWS_WITH_AS(backend.matmul(m, Transpose::no, m, Transpose::no, m, Write::overwrite),
                       doctest::Contains("expected shape (4, 4), got (3, 4)"), ShapeError);
}

TEST_CASE_TEMPLATE("Kernels that have run once run again without more memory", T, float, double) {
  EigenBackend<T> backend(2);
  const auto run_all = [&] {
    for_each_operator_case([&](const auto& test) { run_case(backend, test, initial_values<T>(test)); });
  };
  run_all();
  const Bytes scratch = backend.scratch_bytes();
  run_all();
  CHECK(scratch > 0);
  CHECK(backend.scratch_bytes() == scratch);
}

}  // namespace
}  // namespace greentrainer::testing
