#include <doctest/doctest.h>

#include "backends/backend_list.hpp"
#include "backends/operator_cases.hpp"

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

TEST_CASE_TEMPLATE_DEFINE("A gradient of attention is the same bits whichever others are asked for", B, subsets) {
  using T = typename B::Scalar;
  B backend;
  for (const AttentionSizes& sizes : attention_sizes()) {
    CAPTURE(sizes.text_of());
    const bool bias = sizes.relative.buckets > 0;
    const auto all = attention_grad_case(sizes, {.queries = true, .keys = true, .values = true, .bias = bias});
    const CaseValues before = initial_values<T>(all);
    const CaseOutcome expected = run_case(backend, all, before);
    for (const Wanted& wanted : wanted_gradients(sizes)) {
      const CaseOutcome actual = run_case(backend, attention_grad_case(sizes, wanted), before);
      if (wanted.queries) CHECK(actual.values[7] == expected.values[7]);
      if (wanted.keys) CHECK(actual.values[8] == expected.values[8]);
      if (wanted.values) CHECK(actual.values[9] == expected.values[9]);
      if (wanted.bias) CHECK(actual.values[10] == expected.values[10]);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(subsets, BackendList);

TEST_CASE_TEMPLATE_DEFINE("A candidate is to the bit what the step would make", B, candidates) {
  using T = typename B::Scalar;
  B backend;
  const Extent n = 1037;
  const auto adamw = adamw_step_case(n);
  const CaseValues before = initial_values<T>(adamw);
  CHECK(run_case(backend, adamw_candidate_case(n, State::kept), before).values[0] == run_case(backend, adamw, before).values[0]);
  const SgdStep step{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01, .first = false};
  const auto sgd = sgd_step_case(n, step, State::kept);
  const CaseValues sgd_before = initial_values<T>(sgd);
  CHECK(run_case(backend, sgd_candidate_case(n, step, State::kept), sgd_before).values[0] == run_case(backend, sgd, sgd_before).values[0]);
}
TEST_CASE_TEMPLATE_APPLY(candidates, BackendList);

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

TEST_CASE_TEMPLATE("A NaN comes out of every kernel that a NaN goes into", T, float, double) {
  EigenBackend<T> backend(2);
  const auto spreads = [&](const auto& test, std::size_t operand, std::size_t element) {
    CAPTURE(test.name());
    CaseValues values = initial_values<T>(test);
    values[operand][element] = std::numeric_limits<double>::quiet_NaN();
    const CaseOutcome outcome = run_case(backend, test, values);
    bool found = std::isnan(outcome.result);
    for (std::size_t i = 0; i < test.operands.size(); ++i) {
      if (!test.operands[i].written) continue;
      for (double x : outcome.values[i]) found = found || std::isnan(x);
    }
    CHECK(found);
  };
  for (const Activation f : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    for (const std::size_t element : std::vector<std::size_t>{0, 16}) {
      spreads(activation_forward_case(f, 1, 17, 0), 0, element);
      spreads(activation_grad_case(f, 1, 17, 0), 0, element);
      if (f != Activation::relu) spreads(activation_grad_case(f, 1, 17, 0), 1, element);  // whose slope at NaN is anyone's
    }
  }
  AttentionSizes sizes{.heads = 1, .kv_heads = 1, .head_dim = 4, .causal = true, .query_lengths = {20}, .key_lengths = {20}};
  for (const std::size_t operand : std::vector<std::size_t>{0, 1, 2}) spreads(attention_forward_case(sizes), operand, 0);
  sizes.relative = {.buckets = 8, .max_distance = 20, .bidirectional = false};
  for (const std::size_t operand : std::vector<std::size_t>{0, 3}) spreads(attention_forward_case(sizes), operand, 0);
  spreads(attention_grad_case(sizes, {.bias = true}), 6, 0);
  for (const std::size_t element : std::vector<std::size_t>{0, 40, 99}) {
    spreads(cross_entropy_forward_case(1, 100, true), 0, element);
    spreads(cross_entropy_grad_case(1, 100), 0, element);
  }
  spreads(sum_of_squares_case(20), 0, 19);
  spreads(adamw_step_case(20), 1, 19);
}

}  // namespace
}  // namespace greentrainer::testing
