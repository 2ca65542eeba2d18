#include <doctest/doctest.h>

#include "backends/operator_cases.hpp"
#include "greentrainer/backends/eigen.hpp"

namespace greentrainer::testing {
namespace {

TEST_CASE_TEMPLATE("Results are the same bits for any number of threads", T, float, double) {
  EigenBackend<T> one(1), two(2), three(3), five(5);
  for_each_operator_case([&](const auto& test) {
    CAPTURE(test.name());
    const CaseValues before = initial_values<T>(test);
    const CaseOutcome expected = run_case(one, test, before);
    for (EigenBackend<T>* backend : {&two, &three, &five}) {
      const CaseOutcome actual = run_case(*backend, test, before);
      CHECK(actual.values == expected.values);
      CHECK(actual.result == expected.result);
    }
  });
}

TEST_CASE_TEMPLATE("Rows of a product and of a norm do not depend on what other rows are there", T, float, double) {
  EigenBackend<T> backend(2);
  const auto whole = matmul_case(70, 90, 501, Transpose::no, Transpose::yes, Write::overwrite);
  const CaseValues values = initial_values<T>(whole);
  const std::vector<double> expected = run_case(backend, whole, values).values[2];
  for (const Extent rows : {1, 2, 7, 13, 48}) {
    const auto part = matmul_case(rows, 90, 501, Transpose::no, Transpose::yes, Write::overwrite);
    CaseValues some = values;
    some[0].resize(static_cast<std::size_t>(rows * 501));
    some[2].resize(static_cast<std::size_t>(rows * 90));
    const std::vector<double> actual = run_case(backend, part, some).values[2];
    CHECK(std::equal(actual.begin(), actual.end(), expected.begin()));
  }
}

}  // namespace
}  // namespace greentrainer::testing
