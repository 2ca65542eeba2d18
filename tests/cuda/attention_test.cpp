// Attention's kernels: one for each of a few head sizes, which others are padded to, with whole vectors where operands
// allow them. The cases of tests/backends have gaps behind their rows, so these have none.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backends/attention_cases.hpp"
#include "backends/backend_list.hpp"
#include "support/temporary_folder.hpp"

namespace greentrainer::testing {
namespace {

/// As the reference computes it, in every operand, whatever may be written or not.
template <class B, class Case>
void check_against_reference(B& backend, Case test) {
  using T = typename B::Scalar;
  for (Operand& operand : test.operands) operand.gap = 0;
  CAPTURE(test.name());
  const CaseValues before = initial_values<T>(test);
  ReferenceBackend<double> reference;
  const CaseValues expected = run_case(reference, test, before).values, actual = run_case(backend, test, before).values;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(test.operands[i].name);
    double squares = 0, worst = 0;
    for (const double x : expected[i]) squares += x * x;
    const double typical = std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, expected[i].size())));
    for (std::size_t e = 0; e < expected[i].size(); ++e) {
      const double error = std::abs(actual[i][e] - expected[i][e]) / (typical + std::abs(expected[i][e]) + 1e-30);
      worst = error <= worst ? worst : error;  // NaN counts
    }
    CHECK(worst <= (test.operands[i].written ? 2 * tolerance<T>(test.depth)
                                             : 0));  // sums of sums, which the reference rounds too
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "Attention agrees with the reference at every head size there is a kernel for, and between them", B, head_sizes) {
  B backend;
  for (const Extent head_dim : {16, 24, 32, 64, 72, 80, 96, 128, 200, 256}) {
    // More than one tile of queries and of keys; then few enough queries for the kernel of generation.
    const AttentionSizes training{.heads = 2,
                                  .kv_heads = 1,
                                  .head_dim = head_dim,
                                  .causal = true,
                                  .query_lengths = {70, 3},
                                  .key_lengths = {70, 3}};
    const AttentionSizes generation{.heads = 2,
                                    .kv_heads = 2,
                                    .head_dim = head_dim,
                                    .causal = true,
                                    .query_lengths = {1, 9},
                                    .key_lengths = {40, 12},
                                    .key_room = 2};
    check_against_reference(backend, attention_forward_case(training));
    check_against_reference(backend, attention_grad_case(training, {.queries = true, .keys = true, .values = true}));
    check_against_reference(backend, attention_forward_case(generation));
  }
}
TEST_CASE_TEMPLATE_APPLY(head_sizes, BackendList);

TEST_CASE_TEMPLATE_DEFINE("A relative bias and its gradient agree with the reference over many tiles", B,
                          relative_bias) {
  B backend;
  for (const bool bidirectional : {true, false}) {
    const AttentionSizes t5{.heads = 2,
                            .kv_heads = 2,
                            .head_dim = 64,
                            .causal = !bidirectional,
                            .query_lengths = {150, 3},
                            .key_lengths = {150, 60},
                            .relative = {.buckets = 32, .max_distance = 128, .bidirectional = bidirectional}};
    check_against_reference(backend, attention_forward_case(t5));
    check_against_reference(backend,
                            attention_grad_case(t5, {.queries = true, .keys = true, .values = true, .bias = true}));
    check_against_reference(backend, attention_grad_case(t5, {.bias = true}));
  }
}
TEST_CASE_TEMPLATE_APPLY(relative_bias, BackendList);

TEST_CASE("What there is no kernel for is refused") {
  FirstDevice<float> backend;
  const auto error_at = [&](const AttentionSizes& sizes) {
    const auto test = attention_forward_case(sizes);
    CaseData<FirstDevice<float>> data(backend, test, initial_values<float>(test));
    return error_of<BackendError>([&] { test.call(backend, data); });
  };
  CHECK(has(error_at({.head_dim = 257, .query_lengths = {1}, .key_lengths = {1}}),
            "head_dim: expected at most 256, got 257"));
  CHECK(has(error_at({.query_lengths = {1},
                      .key_lengths = {1},
                      .relative = {.buckets = 600, .max_distance = 1000, .bidirectional = false}}),
            "relative.buckets: expected at most 128 that are wider than one distance, got 299"));
}

}  // namespace
}  // namespace greentrainer::testing
