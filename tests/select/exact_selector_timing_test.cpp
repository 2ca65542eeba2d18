#include <algorithm>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <limits>
#include <random>
#include <vector>

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

namespace {

/// Of processor time: other programs on the machine add nothing to it.
double milliseconds() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// The textbook's knapsack over the weight gradients alone, as if passing the gradient were free: what no selection in
/// budget steps can be spared.
double knapsack(const gt::ChainProblem& chain, std::size_t steps) {
  std::vector<double> row(steps + 1);
  for (std::size_t k = 0; k < chain.importance.size(); ++k) {
    const auto shift =
        static_cast<std::size_t>(std::ceil(chain.grad_weight[k] / chain.budget * static_cast<double>(steps)));
    for (std::size_t t = steps; t >= shift; --t) row[t] = std::max(row[t], row[t - shift] + chain.importance[k]);
  }
  return row[steps];
}

}  // namespace

// Not milliseconds, which are the machine's: benchmarks/selector_benchmark.cpp has those.
TEST_CASE("a chain of 516 tensors is selected from, with proof, in less time than ten knapsacks in 10,000 steps") {
#if !defined(__OPTIMIZE__) || defined(GREENTRAINER_TEST_INSTRUMENTED)
  GREENTRAINER_SKIP("built without optimisation or with a sanitizer: times mean nothing");
#else
  // Passing the gradient is cheap here, so that nearly all depths stay within the budget: more work than a real model
  // is.
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
    double selector = std::numeric_limits<double>::infinity();
    double plain = selector;
    for (int repetition = 0; repetition < 10;
         ++repetition) {  // in turn, so that whatever slows the machine down slows both
      double start = milliseconds();
      const gt::ChainSelection result = gt::select_on_chain(gt::ExactSelector{}, chain);
      selector = std::min(selector, milliseconds() - start);
      REQUIRE(result.cost >= 0.97 * chain.budget);
      REQUIRE(result.optimal);

      start = milliseconds();
      const double bound = knapsack(chain, 10000);
      plain = std::min(plain, milliseconds() - start);
      REQUIRE(bound > 0);
    }
    CAPTURE(rho);
    MESSAGE("rho " << rho << ": " << selector << " ms, one knapsack " << plain << " ms");
    CHECK(selector < 10 * plain);
  }
#endif
}
