#include "greentrainer/select/paper_selector.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/select/chain_problem.hpp"
#include "greentrainer/select/exact_selector.hpp"

namespace gt = greentrainer;

namespace {

using Costs = std::vector<std::int64_t>;

/// The published recursion, line by line as in its description: masks in every cell, the loop over p innermost.
std::vector<bool> literal(const Costs& t_dy, const Costs& t_dw, const std::vector<double>& importance,
                          std::int64_t limit) {
  const std::size_t n = t_dw.size();
  std::int64_t above = 0;
  std::size_t last = n - 1;
  for (std::size_t k = 0; k < n; ++k) {
    above += t_dy[k];
    if (above > limit) {
      last = k;
      break;
    }
  }
  const auto width = static_cast<std::size_t>(limit) + 1;
  std::vector<std::vector<double>> value(last + 1, std::vector<double>(width, 0.0));
  std::vector<std::vector<bool>> selected(last + 1, std::vector<bool>(width, false));
  std::vector<std::vector<std::vector<bool>>> mask(last + 1,
                                                   std::vector<std::vector<bool>>(width, std::vector<bool>(n, false)));
  for (std::size_t t = 0; t < width; ++t) selected[0][t] = true;
  for (std::size_t k = 0; k <= last; ++k) selected[k][0] = true;
  double best = -std::numeric_limits<double>::infinity();
  std::vector<bool> answer(n, false);
  for (std::size_t k = 1; k <= last; ++k) {
    for (std::size_t t = 0; t < width; ++t) {
      double most = value[k - 1][t];
      bool found = false;
      std::size_t from_p = 0;
      std::size_t from_t = 0;
      std::int64_t rest = static_cast<std::int64_t>(t) - t_dw[k - 1];
      for (std::size_t p = k; p-- > 0;) {
        rest -= t_dy[p];
        if (rest < 0) continue;
        const auto r = static_cast<std::size_t>(rest);
        if (selected[p][r] && value[p][r] + importance[k - 1] > most) {
          most = value[p][r] + importance[k - 1];
          found = true;
          from_p = p;
          from_t = r;
        }
      }
      mask[k][t] = found ? mask[from_p][from_t] : mask[k - 1][t];
      if (found) mask[k][t][k - 1] = true;
      selected[k][t] = found;
      value[k][t] = most;
      if (most > best) {
        best = most;
        answer = mask[k][t];
      }
    }
  }
  return answer;
}

const gt::ChainProblem sample{{0, 2, 1, 4, 0}, {5, 1, 7, 3, 1}, {1, 3, 10, 5, 3}, 14.4};

}  // namespace

TEST_CASE("the paper's sample: its recursion gives 13, the optimum is 18") {
  const gt::ChainSelection paper = gt::PaperSelector{}.select(sample);
  CHECK(paper.importance == 13);
  CHECK(paper.mask == std::vector<bool>{false, true, true, false, false});
  CHECK(paper.cost == 10);  // its own price is 11: it charges the deepest member for a gradient that nobody needs
  CHECK_FALSE(paper.optimal);

  const gt::ChainSelection exact = gt::select_on_chain(gt::ExactSelector{}, sample);
  CHECK(exact.importance == 18);
  CHECK(exact.mask == std::vector<bool>{false, true, true, true, false});
  CHECK(exact.cost == 14);
  CHECK(exact.optimal);
}

TEST_CASE("the paper's recursion equals its literal form") {
  std::mt19937 random(1);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  for (int k = 0; k < 3000; ++k) {
    const int n = pick(1, 14);
    Costs t_dy;
    Costs t_dw;
    std::vector<double> importance;
    std::int64_t total = 0;
    for (int i = 0; i < n; ++i) {
      t_dy.push_back(pick(0, 3) == 0 ? 0 : pick(0, 6));
      t_dw.push_back(pick(0, 3) == 0 ? 0 : pick(0, 9));
      importance.push_back(pick(-3, 10));
      total += t_dy.back() + t_dw.back();
    }
    const std::int64_t limit = pick(0, static_cast<int>(total));
    CAPTURE(k);
    REQUIRE(gt::PaperSelector::recursion(t_dy, t_dw, importance, limit) == literal(t_dy, t_dw, importance, limit));
  }
}

TEST_CASE("the paper's quantisation rounds costs down and overruns the budget") {
  // 2400 tensors, 4800 equal costs, 1000 steps: each cost is less than one step, so everything looks free.
  gt::ChainProblem chain;
  chain.grad_input.assign(2400, 1.25);
  chain.grad_weight.assign(2400, 1.25);
  chain.importance.assign(2400, 1.0);
  chain.budget = 0.5 * 2400 * 2.5;
  CHECK(gt::PaperSelector{}.select(chain).cost > 1.9 * chain.budget);
  CHECK(gt::select_on_chain(gt::ExactSelector{}, chain).cost <= chain.budget);
}

TEST_CASE("the paper's quantisation is floor(cost * T_q / total), its budget floor(rho * sum of these)") {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> cost(0, 1e12);
  std::uniform_real_distribution<double> importance(-1, 5);
  for (int k = 0; k < 20; ++k) {
    gt::ChainProblem chain;
    double total = 0;
    for (int i = 0; i < 40; ++i) {
      chain.grad_input.push_back(cost(random));
      chain.grad_weight.push_back(cost(random));
      chain.importance.push_back(importance(random));
      total += chain.grad_input.back() + chain.grad_weight.back();
    }
    chain.budget = (0.1 + 0.04 * k) * total;
    Costs t_dy;
    Costs t_dw;
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < 40; ++i) {
      t_dy.push_back(static_cast<std::int64_t>(std::floor(chain.grad_input[i] / total * 200)));
      t_dw.push_back(static_cast<std::int64_t>(std::floor(chain.grad_weight[i] / total * 200)));
      sum += t_dy.back() + t_dw.back();
    }
    const auto limit = static_cast<std::int64_t>((0.1 + 0.04 * k) * static_cast<double>(sum));
    CHECK(gt::PaperSelector{.budget_steps = 200}.select(chain).mask == literal(t_dy, t_dw, chain.importance, limit));
  }
}

TEST_CASE("the paper's selector refuses what it has no memory for") {
  const std::size_t n = 600;
  const gt::ChainProblem chain{.grad_input = std::vector<double>(n, 0),
                               .grad_weight = std::vector<double>(n, 1.5),
                               .importance = std::vector<double>(n, 1),
                               .budget = 400};
  CHECK_THROWS_WITH_AS(gt::PaperSelector{.budget_steps = 1 << 20}.select(chain),
                       doctest::Contains("budget_steps: expected at most 223696 for 600 tensors"), gt::ConfigError);
}

TEST_CASE("the paper's selector on degenerate chains") {
  CHECK(gt::PaperSelector{}.select({}).mask.empty());
  const gt::ChainSelection free = gt::PaperSelector{}.select({{0, 0}, {0, 0}, {1, 1}, 0});
  CHECK(free.mask == std::vector<bool>{false, false});
  CHECK(gt::PaperSelector{}.select({{1, 1}, {1, 1}, {1, 1}, 0}).importance == 0);
  CHECK_THROWS_AS(gt::PaperSelector{.budget_steps = 0}.select(sample), gt::ConfigError);
  CHECK_THROWS_AS(gt::PaperSelector{}.select({{1}, {1, 1}, {1, 1}, 1}), gt::ConfigError);
}
