// With a concave worth of blocks the exact selector finds what exhaustive search finds, and says no more than it knows.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "exhaustive_selection.hpp"
#include "gradient_dags.hpp"
#include "greentrainer/select/dependencies.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/random_at_depth.hpp"
#include "random_dags.hpp"

namespace gt = greentrainer;
namespace gtt = greentrainer::testing;

namespace {

/// A form of worth, and the same written down once more.
struct Form {
  gt::Worth worth;
  gtt::WorthFunction reference;
};
const std::vector<Form>& forms() {
  static const std::vector<Form> all = {
      {{.form = gt::Worth::Form::square_root}, [](double x) { return std::pow(x, 0.5); }},
      {{.form = gt::Worth::Form::saturating, .scale = 8}, [](double x) { return 8 - 8 / std::exp(x / 8); }}};
  return all;
}

enum class Blocks { contiguous, scattered };

/// Blocks of one to five items that follow one another, some items being of no block as a shared parameter is; or items
/// of three blocks in any order.
void set_blocks(gt::GradientDag& dag, Blocks blocks, std::mt19937& random) {
  int block = 0, left = gtt::pick(random, 1, 5);
  for (auto& item : dag.items) {
    if (left-- == 0) {
      ++block;
      left = gtt::pick(random, 0, 4);
    }
    item.block = blocks == Blocks::contiguous ? block : gtt::pick(random, 0, 2);
    if (gtt::pick(random, 0, 7) == 0) item.block = -1;
  }
}

gt::SelectionProblem random_problem(std::mt19937& random, int shape, const Form& form,
                                    Blocks blocks = Blocks::contiguous) {
  gtt::SmallDagBuilder builder(random, gtt::pick(random, 1, 9));
  gtt::add_small_shape(builder, shape, random);
  gt::SelectionProblem problem{.dag = builder.dag};
  problem.dag.worth = form.worth;
  set_blocks(problem.dag, blocks, random);
  const int total = static_cast<int>(gtt::total_cost(problem.dag));
  const int kind = gtt::pick(random, 0, 15);  // mostly within, sometimes at an edge
  problem.budget = kind == 0 ? 0 : kind == 1 ? total : kind == 2 ? total - 1 : gtt::pick(random, 0, total);
  problem.budget = std::max<std::int64_t>(problem.budget, 0);
  return problem;
}

gt::SelectionProblem roughened(gt::SelectionProblem problem, std::mt19937& random) {
  constexpr std::int64_t unit = 100'000'000'000;
  std::uniform_int_distribution<std::int64_t> fraction(0, unit - 1);
  for (auto& node : problem.dag.nodes) node.cost = node.cost > 0 ? node.cost * unit + fraction(random) : 0;
  for (auto& item : problem.dag.items) {
    item.cost = item.cost > 0 ? item.cost * unit + fraction(random) : 0;
    item.importance += std::uniform_real_distribution<double>(-0.5, 0.5)(random);
  }
  problem.budget = problem.budget * unit + fraction(random);
  return problem;
}

/// How many of `count` random problems a selector gets wrong.
int faults(int count, const std::function<gt::SelectionResult(const gt::SelectionProblem&)>& select) {
  std::mt19937 random(3);
  int found = 0;
  for (int k = 0; k < count; ++k) {
    const Form& form = forms()[static_cast<std::size_t>(k / gtt::shapes) % forms().size()];
    const gt::SelectionProblem problem = random_problem(random, k % gtt::shapes, form);
    const gtt::ExhaustiveSelection all(problem.dag, form.reference);
    const gt::SelectionResult result = gt::make_result(problem.dag, select(problem).mask);
    if (!gtt::fault(problem, all, result, true).empty()) ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("with concave worth exact selection equals exhaustive search, proved, wherever blocks lie") {
  std::mt19937 random(1);
  for (int k = 0; k < 12000; ++k) {
    const int shape = k % gtt::shapes;
    const Form& form = forms()[static_cast<std::size_t>(k / gtt::shapes) % forms().size()];
    const Blocks blocks = k % 4 == 3 ? Blocks::scattered : Blocks::contiguous;
    const gt::SelectionProblem problem = random_problem(random, shape, form, blocks);
    const gtt::ExhaustiveSelection all(problem.dag, form.reference);
    const gt::SelectionResult result = gt::ExactSelector{}.select(problem);
    CAPTURE(k);
    CAPTURE(shape);
    REQUIRE(gtt::fault(problem, all, result, true) == "");
    REQUIRE(result.optimal);
  }
}

TEST_CASE("the comparison notices a worth of tensors instead of blocks, of everything together, and of nothing") {
  const gt::ExactSelector exact;
  CHECK(faults(600, [&](const gt::SelectionProblem& p) { return exact.select(p); }) == 0);
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          for (auto& item : p.dag.items) item.block = -1;
          return exact.select(p);
        }) > 30);
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          for (auto& item : p.dag.items) item.block = 0;
          return exact.select(p);
        }) > 30);
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          p.dag.worth = {};
          return exact.select(p);
        }) > 30);
  CHECK(faults(600, [&](gt::SelectionProblem p) {
          p.budget = std::max<std::int64_t>(0, p.budget - 1);
          return exact.select(p);
        }) > 30);
  // By additional worth for the cost is not exact.
  CHECK(faults(600, [](const gt::SelectionProblem& p) { return gt::ImportancePerFlopSelector{}.select(p); }) > 30);
}

TEST_CASE("with real costs a concave choice is proved as well, and a search that is cut off claims only what is true") {
  std::mt19937 random(2);
  int proved = 0, open = 0;
  for (int k = 0; k < 3000; ++k) {
    const Form& form = forms()[static_cast<std::size_t>(k / gtt::shapes) % forms().size()];
    const gt::SelectionProblem problem = roughened(
        random_problem(random, k % gtt::shapes, form, k % 4 == 3 ? Blocks::scattered : Blocks::contiguous), random);
    const gtt::ExhaustiveSelection all(problem.dag, form.reference);
    CAPTURE(k);
    const gt::SelectionResult whole = gt::ExactSelector{}.select(problem);
    REQUIRE(gtt::fault(problem, all, whole, true) == "");
    REQUIRE(whole.optimal);
    gt::ExactSelector cut{.max_pairs = static_cast<std::size_t>(gtt::pick(random, 0, 400)),
                          .budget_steps = gtt::pick(random, 5, 100)};
    if (k % 5 == 0) cut.max_states = 0;  // no diagram fits
    const gt::SelectionResult result = cut.select(problem);
    REQUIRE(gtt::fault(problem, all, result, false) == "");
    REQUIRE(std::isfinite(result.bound));
    proved += result.optimal ? 1 : 0;
    open += result.optimal ? 0 : 1;
  }
  CHECK(proved > 500);
  CHECK(open > 500);
}

TEST_CASE("blocks of one tensor are worth what additive importances of that worth are") {
  std::mt19937 random(5);
  for (int k = 0; k < 600; ++k) {
    const Form& form = forms()[static_cast<std::size_t>(k) % forms().size()];
    gt::SelectionProblem problem = random_problem(random, k % gtt::shapes, form);
    for (auto& item : problem.dag.items) item.block = -1;
    gt::SelectionProblem additive = problem;
    additive.dag.worth = {};
    for (auto& item : additive.dag.items) {
      if (item.importance > 0) item.importance = form.reference(item.importance);
    }
    CAPTURE(k);
    CHECK(gt::ExactSelector{}.select(problem).importance ==
          doctest::Approx(gt::ExactSelector{}.select(additive).importance).epsilon(1e-12));
  }
}

TEST_CASE("a shared parameter is a block of its own, even where it lies within another block") {
  // Two items of block 0, and between them the shared one, which adds a root of its own.
  gt::SelectionProblem problem;
  problem.dag.nodes = {{1, {}}, {1, {0}}};
  problem.dag.items = {{1, 9.0, {}}, {1, 16.0, {0}}, {1, 16.0, {1}}};
  problem.dag.items[0].block = problem.dag.items[2].block = 0;
  problem.dag.worth.form = gt::Worth::Form::square_root;
  problem.budget = 5;
  const gt::SelectionResult all = gt::ExactSelector{}.select(problem);
  CHECK(all.importance == doctest::Approx(std::sqrt(9.0 + 16.0) + 4).epsilon(1e-15));
  // 3 + 4, where the two would be 5 in one block; the block's second item alone, behind both nodes, is 4.
  problem.budget = 3;
  const gt::SelectionResult some = gt::ExactSelector{}.select(problem);
  CHECK(some.mask == std::vector<bool>{true, true, false});
  CHECK(some.importance == doctest::Approx(7).epsilon(1e-15));
  CHECK(some.optimal);
}

TEST_CASE(
    "whole models: concave choices are proved, spend the budget, and spread over more blocks than additive ones") {
  for (int model = 0; model < 3; ++model) {
    gtt::RealDagBuilder builder(static_cast<unsigned>(model) + 1);
    if (model == 0) gtt::add_decoder(builder, {}, 12, gtt::NormStyle::pre);
    if (model == 1) gtt::add_decoder(builder, {}, 12, gtt::NormStyle::post, true);
    if (model == 2)
      gtt::add_encoder_decoder(builder, {.tokens = 577, .squares = 71001}, 4, 4, gtt::NormStyle::pre, true);
    builder.dag.worth.form = gt::Worth::Form::square_root;
    for (const double rho : {0.3, 0.5, 0.8}) {
      const gt::SelectionProblem problem{
          builder.dag, static_cast<std::int64_t>(rho * static_cast<double>(gtt::total_cost(builder.dag)))};
      const gt::SelectionResult result = gt::ExactSelector{}.select(problem);
      CAPTURE(model);
      CAPTURE(rho);
      CHECK(result.optimal);
      CHECK(result.cost == gt::cost_of(problem.dag, result.mask));
      CHECK(result.cost <= problem.budget);
      CHECK(result.importance == gt::importance_of(problem.dag, result.mask));
      gt::SelectionProblem additive = problem;
      additive.dag.worth = {};
      const gt::SelectionResult other = gt::ExactSelector{}.select(additive);
      CHECK(result.importance >= gt::importance_of(problem.dag, other.mask));
      CHECK(other.importance >= gt::importance_of(additive.dag, result.mask));
      CHECK(result.importance >= gt::ImportancePerFlopSelector{}.select(problem).importance);
      for (std::size_t i = 0; i < result.mask.size(); ++i) {
        if (result.mask[i] || problem.dag.items[i].importance <= 0) continue;
        std::vector<bool> more = result.mask;
        more[i] = true;
        CHECK(gt::cost_of(problem.dag, more) > problem.budget);
      }
    }
  }
}

TEST_CASE("other selectors know the worth of blocks, and problems without a valid one are refused") {
  std::mt19937 random(6);
  gt::SelectionProblem problem = random_problem(random, 2, forms()[0]);
  CHECK(gt::without_dependencies(problem).dag.worth == problem.dag.worth);
  const gt::SelectionResult drawn = gt::RandomAtDepthSelector(1).select(problem);
  CHECK(drawn.importance == gt::importance_of(problem.dag, drawn.mask));
  CHECK(std::isinf(drawn.bound));

  problem.dag.worth = {.form = gt::Worth::Form::saturating, .scale = 0};
  CHECK_THROWS_WITH_AS(gt::ExactSelector{}.select(problem),
                       "[gradient_dag] worth: expected a finite scale above 0 where worth saturates, got 0",
                       gt::ConfigError);
  problem.dag.worth = {};
  problem.dag.items[0].block = -2;
  CHECK_THROWS_AS(gt::ExactSelector{}.select(problem), gt::ConfigError);
  CHECK_THROWS_WITH_AS(gt::parse_worth("root"),
                       "[parse_worth] worth: expected one of additive, square-root, saturating; got root",
                       gt::UsageError);
  for (std::size_t n = 0; n < gt::worth_names.size(); ++n)
    CHECK(static_cast<std::size_t>(gt::parse_worth(gt::worth_names[n])) == n);
}
