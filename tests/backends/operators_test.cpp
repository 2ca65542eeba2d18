#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "backends/operator_cases.hpp"

namespace greentrainer::testing {
namespace {

/// The largest difference there may be, and is, between what a backend and the reference left in one operand; gaps must
/// be as they were.
void check_operand(const Operand& operand, const std::vector<double>& before, const std::vector<double>& expected,
                   const std::vector<double>& actual, double allowed) {
  double squares = 0;
  for (Extent r = 0; r < operand.rows; ++r) {
    for (Extent c = 0; c < operand.cols; ++c)
      squares += std::pow(expected[static_cast<std::size_t>(r * operand.stride() + c)], 2);
  }
  const double typical = std::sqrt(squares / static_cast<double>(std::max<Extent>(1, operand.rows * operand.cols)));
  for (Extent r = 0; r < operand.rows; ++r) {
    for (Extent c = 0; c < operand.stride(); ++c) {
      const auto i = static_cast<std::size_t>(r * operand.stride() + c);
      const bool may_change = operand.written && c < operand.cols;
      const bool passes = may_change ? std::abs(actual[i] - expected[i]) <= allowed * (typical + std::abs(expected[i]))
                                     : actual[i] == before[i];
      if (passes) continue;
      CAPTURE(operand.name);
      CAPTURE(r);
      CAPTURE(c);
      CAPTURE(before[i]);
      FAIL_CHECK("expected " << expected[i] << ", got " << actual[i] << ", allowed "
                             << allowed * (typical + std::abs(expected[i])));
      return;
    }
  }
}

TEST_CASE_TEMPLATE_DEFINE("Every kernel computes what the reference does, and writes nowhere else", B, kernels_agree) {
  using T = typename B::Scalar;
  B backend;
  ReferenceBackend<double> reference;
  for_each_operator_case([&](const auto& test) {
    CAPTURE(test.name());
    const CaseValues before = initial_values<T>(test);
    const CaseOutcome expected = run_case(reference, test, before);
    const CaseOutcome actual = run_case(backend, test, before);
    for (std::size_t i = 0; i < test.operands.size(); ++i) {
      check_operand(test.operands[i], before[i], expected.values[i], actual.values[i], tolerance<T>(test.depth));
    }
    CHECK(std::abs(actual.result - expected.result) <= tolerance<T>(test.depth) * std::abs(expected.result));
  });
}
TEST_CASE_TEMPLATE_APPLY(kernels_agree, BackendList);

}  // namespace
}  // namespace greentrainer::testing
