#include "greentrainer/select/exact_selector.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "gradient_dags.hpp"
#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/random_at_depth.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

static_assert(gt::Selector<gt::ExactSelector>);

namespace {

gt::SelectionProblem random_problem(std::mt19937& random, int shape) {
  gtt::SmallDagBuilder builder(random, gtt::pick(random, 1, 9));
  gtt::add_small_shape(builder, shape, random);
  gt::SelectionProblem problem;
  problem.dag = builder.dag;
  problem.budget = gtt::pick(random, 0, static_cast<int>(gtt::total_cost(problem.dag)));
  return problem;
}

gt::SelectionProblem scaled(gt::SelectionProblem problem, std::int64_t factor) {
  for (auto& node : problem.dag.nodes) node.cost *= factor;
  for (auto& item : problem.dag.items) item.cost *= factor;
  problem.budget *= factor;
  return problem;
}

/// Real-valued in effect: costs of up to 10^12 without a common divisor.
gt::SelectionProblem roughened(gt::SelectionProblem problem, std::mt19937& random) {
  std::uniform_int_distribution<std::int64_t> fraction(0, 99'999'999'999);
  problem = scaled(problem, 100'000'000'000);
  for (auto& node : problem.dag.nodes) node.cost += node.cost > 0 ? fraction(random) : 0;
  for (auto& item : problem.dag.items) {
    item.cost += item.cost > 0 ? fraction(random) : 0;
    item.importance += std::uniform_real_distribution<double>(-0.5, 0.5)(random);
  }
  problem.budget += fraction(random);
  return problem;
}

/// How many of `count` random problems a selector gets wrong.
template <class Select>
int faults(int count, Select select) {
  std::mt19937 random(3);
  int found = 0;
  for (int k = 0; k < count; ++k) {
    const gt::SelectionProblem problem = random_problem(random, k % gtt::shapes);
    const gtt::ExhaustiveSelection all(problem.dag);
    if (!gtt::fault(problem, all, select(problem), true).empty()) ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("exact selection equals exhaustive search where costs are whole budget steps") {
  std::mt19937 random(1);
  for (int k = 0; k < 20000; ++k) {
    const int shape = k % gtt::shapes;
    gt::SelectionProblem problem = random_problem(random, shape);
    if (k % 7 == 0) problem = scaled(problem, 1'000'000'007);  // a step is then the greatest common divisor
    const gtt::ExhaustiveSelection all(problem.dag);
    const gt::SelectionResult result = gt::ExactSelector{.budget_steps = 1000}.select(problem);
    CAPTURE(k);
    CAPTURE(shape);
    REQUIRE(gtt::fault(problem, all, result, true) == "");
    REQUIRE(result.optimal);
  }
}

TEST_CASE("the comparison with exhaustive search notices planted faults") {
  const gt::ExactSelector exact;
  CHECK(faults(600, [&](const gt::SelectionProblem& p) { return exact.select(p); }) == 0);
  // A budget one unit too small or too large.
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          p.budget = std::max<std::int64_t>(0, p.budget - 1);
          return exact.select(p);
        }) > 30);
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          ++p.budget;
          return exact.select(p);
        }) > 30);
  // One need of the last node forgotten.
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          const gt::GradientDag true_dag = p.dag;
          if (!p.dag.nodes.empty()) p.dag.nodes.back().needs.clear();
          return gt::make_optimal_result(true_dag, exact.select(p).mask);
        }) > 5);
  // The deepest item pays for a gradient that nobody needs.
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          const gt::GradientDag true_dag = p.dag;
          if (!p.dag.items.empty() && !p.dag.nodes.empty())
            p.dag.items.back().needs.push_back(static_cast<int>(p.dag.nodes.size()) - 1);
          return gt::make_optimal_result(true_dag, exact.select(p).mask);
        }) > 5);
  // Shared nodes paid for by each item anew.
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          const gt::GradientDag true_dag = p.dag;
          for (std::size_t i = 0; i < p.dag.items.size(); ++i) {
            std::vector<bool> one(p.dag.items.size(), false);
            one[i] = true;
            p.dag.items[i].cost = gt::cost_of(true_dag, one);
          }
          for (auto& node : p.dag.nodes) node.cost = 0;
          return gt::make_optimal_result(true_dag, exact.select(p).mask);
        }) > 30);
  // Greedy is not exact.
  CHECK(faults(600, [&](const gt::SelectionProblem& p) { return gt::ImportancePerFlopSelector{}.select(p); }) > 30);
}

TEST_CASE("with real costs the selection is proved the best of all, whatever the budget steps") {
  std::mt19937 random(2);
  for (int k = 0; k < 4000; ++k) {
    const gt::SelectionProblem problem = roughened(random_problem(random, k % gtt::shapes), random);
    const gtt::ExhaustiveSelection all(problem.dag);
    const gt::SelectionResult result = gt::ExactSelector{.budget_steps = gtt::pick(random, 5, 100)}.select(problem);
    CAPTURE(k);
    REQUIRE(gtt::fault(problem, all, result, true) == "");
    REQUIRE(result.optimal);
  }
}

TEST_CASE("a search that is cut off claims only what is true, and is worth what a step less for each item would buy") {
  std::mt19937 random(2);
  int proved = 0, open = 0, bounded = 0;
  for (int k = 0; k < 8000; ++k) {
    const bool rough = k % 3 != 0;
    gt::SelectionProblem problem = random_problem(random, k % gtt::shapes);
    if (rough) problem = roughened(problem, random);
    const gtt::ExhaustiveSelection all(problem.dag);
    const int steps = gtt::pick(random, 5, 100);
    const gt::SelectionResult result =
        gt::ExactSelector{.max_pairs = static_cast<std::size_t>(k % 2 == 0 ? 0 : gtt::pick(random, 1, 100)),
                          .budget_steps = steps}
            .select(problem);
    CAPTURE(k);
    CAPTURE(steps);
    REQUIRE(gtt::fault(problem, all, result, false) == "");
    REQUIRE(result.importance >= all.best(problem.budget, static_cast<double>(problem.budget) / steps) - 1e-9);
    REQUIRE(std::isfinite(result.bound));
    proved += result.optimal ? 1 : 0;
    open += result.optimal ? 0 : 1;
    bounded += !result.optimal && result.bound < result.importance * 1.1 ? 1 : 0;
  }
  CHECK(proved > 1000);
  CHECK(open > 1000);
  CHECK(bounded > 100);
}

TEST_CASE("branch and bound, the way out for DAGs without stages, is exact or says that it is not") {
  std::mt19937 random(4);
  int cut = 0;
  for (int k = 0; k < 1500; ++k) {
    const gt::SelectionProblem problem = random_problem(random, k % gtt::shapes);
    const gtt::ExhaustiveSelection all(problem.dag);
    gt::ExactSelector selector{.max_states = 0};  // no diagram fits
    CHECK(gtt::fault(problem, all, selector.select(problem), true) == "");
    selector.max_search_nodes = 2;
    const gt::SelectionResult result = selector.select(problem);
    CHECK(gtt::fault(problem, all, result, result.optimal) == "");
    cut += result.optimal ? 0 : 1;
  }
  CHECK(cut > 100);
}

TEST_CASE("a DAG whose numbering interleaves many branches is decided branch by branch") {
  // 20 branches of 3 nodes, numbered across: in that order 3^20 partial decisions would have to be kept apart.
  std::mt19937 random(5);
  gt::SelectionProblem problem;
  constexpr int branches = 20;
  for (int depth = 0; depth < 3; ++depth) {
    for (int branch = 0; branch < branches; ++branch) {
      problem.dag.nodes.push_back({gtt::pick(random, 1, 9), depth == 0
                                                                ? std::vector<int>{}
                                                                : std::vector<int>{(depth - 1) * branches + branch}});
      problem.dag.items.push_back(
          {gtt::pick(random, 1, 9), static_cast<double>(gtt::pick(random, 1, 20)), {depth * branches + branch}});
    }
  }
  problem.budget = gtt::total_cost(problem.dag) / 2;
  const gt::SelectionResult narrow = gt::ExactSelector{}.select(problem);
  CHECK(narrow.optimal);
  CHECK(narrow.cost <= problem.budget);

  // The same branches one after the other, where the given order is good already.
  gt::SelectionProblem sorted;
  sorted.budget = problem.budget;
  for (int branch = 0; branch < branches; ++branch) {
    for (int depth = 0; depth < 3; ++depth) {
      const std::size_t number =
          static_cast<std::size_t>(depth) * static_cast<std::size_t>(branches) + static_cast<std::size_t>(branch);
      const int next = static_cast<int>(sorted.dag.nodes.size());
      sorted.dag.nodes.push_back(
          {problem.dag.nodes[number].cost, depth == 0 ? std::vector<int>{} : std::vector<int>{next - 1}});
      sorted.dag.items.push_back({problem.dag.items[number].cost, problem.dag.items[number].importance, {next}});
    }
  }
  CHECK(narrow.importance == gt::ExactSelector{}.select(sorted).importance);
}

TEST_CASE("whole models: the budget is kept, nothing that fits is left out, and at least 97% is spent") {
  for (int model = 0; model < 6; ++model) {
    gtt::RealDagBuilder builder(static_cast<unsigned>(model) + 1);
    if (model < 2) gtt::add_decoder(builder, {}, 12, gtt::NormStyle::pre, model == 1);
    if (model == 2) gtt::add_decoder(builder, {.model = 1024, .feed_forward = 4096}, 24, gtt::NormStyle::post);
    if (model == 3)
      gtt::add_encoder_decoder(builder, {.tokens = 577, .squares = 71001}, 6, 6, gtt::NormStyle::pre, true);
    if (model == 4)
      gtt::add_encoder_decoder(builder, {.tokens = 577, .squares = 71001}, 12, 12, gtt::NormStyle::post, false);
    if (model == 5)
      gtt::add_decoder(builder, {.tokens = 1733, .model = 2560, .feed_forward = 10240, .squares = 351721}, 32,
                       gtt::NormStyle::pre);
    const std::int64_t total = gtt::total_cost(builder.dag);
    for (const double rho : {0.1, 0.3, 0.5, 0.8, 1.0}) {
      gt::SelectionProblem problem{builder.dag, static_cast<std::int64_t>(rho * static_cast<double>(total))};
      const gt::SelectionResult result = gt::ExactSelector{}.select(problem);
      CAPTURE(model);
      CAPTURE(rho);
      CHECK(result.optimal);
      CHECK(result.cost == gt::cost_of(problem.dag, result.mask));
      CHECK(result.cost <= problem.budget);
      CHECK(result.importance >= gt::ImportancePerFlopSelector{}.select(problem).importance);

      std::vector<bool> wanted(result.mask.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        wanted[i] = problem.dag.items[i].importance > 0;
        if (!wanted[i] || result.mask[i]) continue;
        std::vector<bool> more = result.mask;
        more[i] = true;
        CHECK(gt::cost_of(problem.dag, more) > problem.budget);
      }
      if (result.cost == 0)
        continue;  // as just shown, nothing fits: the output head's gradient alone is beyond a tenth of the work
      const double could_be_spent = static_cast<double>(std::min(problem.budget, gt::cost_of(problem.dag, wanted)));
      CHECK(static_cast<double>(result.cost) >= 0.97 * could_be_spent);
    }
  }
}

TEST_CASE("selectors that claim to be optimal agree, and none is worth more than another's bound") {
  std::vector<gt::SelectionProblem> problems;
  for (const unsigned seed : {1U, 2U, 3U}) {
    for (const int layers : {12, 32}) {
      gtt::RealDagBuilder decoder(seed);
      gtt::add_decoder(decoder, {.model = 64.0 * layers, .feed_forward = 256.0 * layers}, layers, gtt::NormStyle::pre);
      problems.push_back({decoder.dag, gtt::total_cost(decoder.dag) / 2});
    }
    gtt::RealDagBuilder both(seed);
    gtt::add_encoder_decoder(both, {.model = 512, .feed_forward = 1024}, 8, 8, gtt::NormStyle::pre, true);
    problems.push_back({both.dag, gtt::total_cost(both.dag) / 4});
  }
  int disagreements = 0;  // of those that prove nothing
  for (std::size_t p = 0; p < problems.size(); ++p) {
    CAPTURE(p);
    std::vector<gt::SelectionResult> results;
    for (const std::size_t pairs : {std::size_t{0}, std::size_t{1000}, gt::ExactSelector{}.max_pairs}) {
      for (const std::int64_t steps : {200, 10000, 100000})
        results.push_back(gt::ExactSelector{.max_pairs = pairs, .budget_steps = steps}.select(problems[p]));
    }
    CHECK(results.back().optimal);
    for (const auto& one : results) {
      for (const auto& other : results) {
        CHECK(one.bound >= other.importance * (1 - gt::importance_tolerance));
        if (one.optimal && other.optimal) CHECK(one.importance == doctest::Approx(other.importance).epsilon(1e-12));
        disagreements += one.importance > other.importance * (1 + 1e-9) ? 1 : 0;
      }
    }
  }
  CHECK(disagreements > 0);
}

TEST_CASE("free items, empty problems and budgets of 0 are solved exactly") {
  const gt::ExactSelector exact;
  CHECK(exact.select({}).mask.empty());

  gt::SelectionProblem problem;
  problem.dag.nodes = {{5, {}}, {0, {0}}};
  problem.dag.items = {{0, 1.0, {}}, {0, 2.0, {1}}, {3, 0.0, {}}, {0, -1.0, {}}};
  problem.budget = 0;
  CHECK(exact.select(problem).mask == std::vector<bool>{true, false, false, false});  // free and worth something
  problem.budget = 5;
  CHECK(exact.select(problem).mask == std::vector<bool>{true, true, false, false});

  CHECK_THROWS_WITH_AS(exact.select({problem.dag, -1}), "[selection_problem] budget: expected 0 or more, got -1",
                       gt::ConfigError);
  CHECK_THROWS_AS(gt::ExactSelector{.budget_steps = 0}.select(problem), gt::ConfigError);
  gt::SelectionProblem bad = problem;
  bad.dag.nodes[0].needs = {1};  // not before it
  CHECK_THROWS_AS(exact.select(bad), gt::ConfigError);
  bad = problem;
  bad.dag.items[2].needs = {2};
  CHECK_THROWS_AS(exact.select(bad), gt::ConfigError);
  bad = problem;
  bad.dag.items[1].importance = std::nan("");
  CHECK_THROWS_WITH_AS(exact.select(bad), "[gradient_dag] item 1: expected a finite importance, got nan",
                       gt::ConfigError);
  bad = problem;
  bad.dag.nodes[0].cost = -1;
  CHECK_THROWS_AS(exact.select(bad), gt::ConfigError);
  bad = problem;
  bad.dag.items[0].cost = bad.dag.items[2].cost = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_AS(exact.select(bad), gt::ConfigError);
}

TEST_CASE("what is frozen is never chosen, and what is chosen is the best of the rest") {
  std::mt19937 random(9);
  int of_all = 0, frozen_mattered = 0;
  for (int k = 0; k < 1000; ++k) {
    CAPTURE(k);
    gt::SelectionProblem problem = random_problem(random, k % gtt::shapes);
    const double free = gt::ExactSelector{}.select(problem).importance;
    gt::SelectionProblem worthless = problem;
    for (std::size_t i = 0; i < problem.dag.items.size(); ++i) {
      problem.dag.items[i].frozen = gtt::pick(random, 0, 2) == 0;
      if (problem.dag.items[i].frozen) worthless.dag.items[i].importance = -1;
    }
    const gt::SelectionResult exact = gt::ExactSelector{}.select(problem);
    const double best = gtt::ExhaustiveSelection(worthless.dag).best(problem.budget);
    CHECK(exact.importance == doctest::Approx(best));
    frozen_mattered += best < free ? 1 : 0;
    for (const auto& mask : {exact.mask, gt::ImportancePerFlopSelector{}.select(problem).mask,
                             gt::RandomAtDepthSelector(1).select(problem).mask}) {
      for (std::size_t i = 0; i < mask.size(); ++i) CHECK_FALSE((mask[i] && problem.dag.items[i].frozen));
    }
    ++of_all;
  }
  CHECK(frozen_mattered > of_all / 4);
}
