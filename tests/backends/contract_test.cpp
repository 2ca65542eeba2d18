// What else the contract in concepts/backend.hpp says, for every backend.

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

TEST_CASE_TEMPLATE_DEFINE("Asking for more memory than there is says how much was asked for", B, too_much) {
  B backend;
  const Bytes bytes = Bytes{1} << 60;
  try {
    backend.allocate(bytes);
    FAIL("allocated an exbibyte");
  } catch (const BackendError& error) {
    CHECK(std::string(error.what()).find(std::to_string(bytes)) != std::string::npos);
  }
}
TEST_CASE_TEMPLATE_APPLY(too_much, BackendList);

TEST_CASE_TEMPLATE_DEFINE("The same call gives the same bits again", B, again) {
  using T = typename B::Scalar;
  B backend;
  for_each_operator_case([&](const auto& test) {
    CAPTURE(test.name());
    const CaseValues before = initial_values<T>(test);
    const CaseOutcome first = run_case(backend, test, before), second = run_case(backend, test, before);
    CHECK(first.values == second.values);
    CHECK(first.result == second.result);
  });
}
TEST_CASE_TEMPLATE_APPLY(again, BackendList);

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
  for_each_rule([&](const auto& rule) {
    CAPTURE(rule.name);
    const auto step = update_step_case(rule, n);
    const CaseValues before = initial_values<T>(step);
    CHECK(run_case(backend, update_candidate_case(rule, n, State::kept), before).values[0] ==
          run_case(backend, step, before).values[0]);
  });
}
TEST_CASE_TEMPLATE_APPLY(candidates, BackendList);

TEST_CASE_TEMPLATE_DEFINE("Every element that is infinite or NaN is counted, wherever it lies, and no other", B,
                          count) {
  using T = typename B::Scalar;
  B backend;
  for (const Extent n : {1, 15, 16, 17, 1024, 1025, 40001}) {
    CAPTURE(n);
    std::vector<T> x(static_cast<std::size_t>(n), std::numeric_limits<T>::max());
    const auto counted = [&] {
      Tensor<B> on_backend(backend, x);
      Tensor<B, double> result(backend, 1, 1);
      result.zero();
      backend.count_non_finite(n, on_backend.data(), result.data());
      return result.download().front();
    };
    CHECK(counted() == 0);
    double expected = 0;
    for (const Extent at : {n - 1, n / 2, Extent{0}}) {
      const T infinity = std::numeric_limits<T>::infinity();
      T& element = x[static_cast<std::size_t>(at)];
      expected += std::isfinite(element) ? 1 : 0;
      element = at == 0 ? -infinity : at == n - 1 ? std::numeric_limits<T>::quiet_NaN() : infinity;
      CHECK(counted() == expected);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(count, BackendList);

TEST_CASE_TEMPLATE_DEFINE("A NaN comes out of every kernel that a NaN goes into", B, nan) {
  using T = typename B::Scalar;
  B backend;
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
  for (const Activation f : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                             Activation::tanh, Activation::relu_squared, Activation::sigmoid}) {
    for (const std::size_t element : std::vector<std::size_t>{0, 16}) {
      spreads(activation_forward_case(f, 1, 17, 0), 0, element);
      spreads(activation_grad_case(f, 1, 17, 0), 0, element);
      if (f != Activation::relu)
        spreads(activation_grad_case(f, 1, 17, 0), 1, element);  // whose slope at NaN is anyone's
    }
  }
  for (const std::size_t element : std::vector<std::size_t>{0, 1, 33})
    spreads(clamped_gate_forward_case(1, 17, 0, {}), 0, element);
  for (const std::size_t operand : std::vector<std::size_t>{0, 1, 2})
    spreads(attention_sink_forward_case(3, 2, 4), operand, 0);
  spreads(attention_sink_grad_case(3, 2, 4), 3, 0);
  AttentionSizes sizes{
      .heads = 1, .kv_heads = 1, .head_dim = 4, .causal = true, .query_lengths = {20}, .key_lengths = {20}};
  for (const std::size_t operand : std::vector<std::size_t>{0, 1, 2})
    spreads(attention_forward_case(sizes), operand, 0);
  sizes.score_cap = 1;
  for (const std::size_t operand : std::vector<std::size_t>{0, 1, 2})
    spreads(attention_forward_case(sizes), operand, 0);
  sizes.relative = {.buckets = 8, .max_distance = 20, .bidirectional = false};
  for (const std::size_t operand : std::vector<std::size_t>{0, 3}) spreads(attention_forward_case(sizes), operand, 0);
  spreads(attention_grad_case(sizes, {.bias = true}), 6, 0);
  for (const std::size_t element : std::vector<std::size_t>{0, 40, 99}) {
    spreads(cross_entropy_forward_case(1, 100, true), 0, element);
    spreads(cross_entropy_grad_case(1, 100), 0, element);
  }
  spreads(sum_of_squares_case(20), 0, 19);
  for_each_rule([&](const auto& rule) { spreads(update_step_case(rule, 20), 1, 19); });
}
TEST_CASE_TEMPLATE_APPLY(nan, BackendList);

}  // namespace
}  // namespace greentrainer::testing
