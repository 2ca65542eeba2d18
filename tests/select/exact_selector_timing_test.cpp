#include <algorithm>
#include <chrono>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "greentrainer/select/chain_problem.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "support/skip.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GREENTRAINER_TEST_INSTRUMENTED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define GREENTRAINER_TEST_INSTRUMENTED
#endif
#endif

namespace gt = greentrainer;

TEST_CASE("a chain of 516 tensors is selected from in less than 10 ms at 10,000 budget steps") {
#if !defined(__OPTIMIZE__) || defined(GREENTRAINER_TEST_INSTRUMENTED)
  GREENTRAINER_SKIP("built without optimisation or with a sanitizer: times mean nothing");
#else
  // Passing the gradient is cheap here, so that nearly all depths stay within the budget: more work than a real model is.
  std::mt19937 random(3);
  std::uniform_real_distribution<double> cost(0, 1e9);
  for (const double rho : {0.1, 0.5, 0.9}) {
    gt::ChainProblem chain;
    double total = 0;
    for (int k = 0; k < 516; ++k) {
      chain.grad_input.push_back(0.01 * cost(random));
      chain.grad_weight.push_back(cost(random));
      chain.importance.push_back(std::lognormal_distribution<double>(0, 1.5)(random));
      total += chain.grad_input.back() + chain.grad_weight.back();
    }
    chain.budget = rho * total;
    double best = std::numeric_limits<double>::infinity();
    for (int repetition = 0; repetition < 10; ++repetition) {
      const auto start = std::chrono::steady_clock::now();
      const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{.budget_steps = 10000}, chain);
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      REQUIRE(result.cost >= 0.97 * chain.budget);
    }
    CAPTURE(rho);
    CHECK(best < 10.0);
  }
#endif
}
