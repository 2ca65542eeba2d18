#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "backends/operator_cases.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer::testing {
namespace {

TEST_CASE_TEMPLATE_DEFINE("Memory holds what was copied there, and is aligned", B, memory) {
  static_assert(Backend<B>);
  B backend;
  CHECK_FALSE(std::string(backend.name()).empty());
  std::vector<char> host(100003), back(host.size());
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<char>(i * 7);
  const auto bytes = static_cast<Bytes>(host.size());
  char* first = static_cast<char*>(backend.allocate(bytes));
  char* second = static_cast<char*>(backend.allocate(bytes));
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  backend.copy_from_host(first, host.data(), bytes);
  backend.zero(second, bytes);
  backend.copy(second + 10, first + 3, bytes - 13);  // leaves the last 3 bytes zero
  backend.synchronize();
  backend.copy_to_host(back.data(), second, bytes);
  std::vector<char> expected(host.size(), 0);
  std::copy(host.begin() + 3, host.end() - 10, expected.begin() + 10);
  CHECK(back == expected);
  backend.deallocate(first, bytes);
  backend.deallocate(second, bytes);
}
TEST_CASE_TEMPLATE_APPLY(memory, BackendList);

TEST_CASE("Asking for more memory than there is says how much was asked for") {
  EigenBackend<float> backend(1);
  const Bytes bytes = Bytes{1} << 60;
  try {
    backend.allocate(bytes);
    FAIL("allocated an exbibyte");
  } catch (const BackendError& error) {
    CHECK(std::string(error.what()).find(std::to_string(bytes)) != std::string::npos);
  }
}

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
  const auto run_all = [&] { for_each_operator_case([&](const auto& test) { run_case(backend, test, initial_values<T>(test)); }); };
  run_all();
  const Bytes scratch = backend.scratch_bytes();
  run_all();
  CHECK(scratch > 0);
  CHECK(backend.scratch_bytes() == scratch);
}

}  // namespace
}  // namespace greentrainer::testing
