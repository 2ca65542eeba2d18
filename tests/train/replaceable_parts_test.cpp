// Selector, cost model and importance metric of a trainer are the user's to replace, and what they must keep is
// checked.

#include <numeric>
#include <sstream>

#include <doctest/doctest.h>

#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/train/trainer.hpp"
#include "support/tiny_training.hpp"

using namespace greentrainer;
using greentrainer::testing::counting_examples;
using greentrainer::testing::tiny_model;

namespace {

using B = EigenBackend<float>;

/// Bytes that an operator moves, roughly: another unit than FLOPs, and other proportions.
struct BytesMoved {
  static constexpr std::string_view unit() { return "bytes"; }

  LinearCost forward(const TensorGraph<B>& graph, OperatorId id) const {
    return values(graph, id) + per(Measure::steps, 4 * weights(graph, id));
  }
  LinearCost part(const TensorGraph<B>& graph, OperatorId id, int part) const {
    const bool of_weight = graph.op(id).op->parts()[static_cast<std::size_t>(part)].kind == GradPart::Kind::parameter;
    return values(graph, id) + per(Measure::steps, of_weight ? 4 * weights(graph, id) : 0);
  }

 private:
  static LinearCost values(const TensorGraph<B>& graph, OperatorId id) {
    LinearCost cost;
    for (const ValueId v : graph.op(id).inputs) cost += per(graph.value(v).shape.rows, 4 * graph.value(v).shape.cols);
    return cost;
  }
  static std::int64_t weights(const TensorGraph<B>& graph, OperatorId id) {
    std::int64_t sum = 0;
    for (const ParameterId p : graph.op(id).parameters) sum += graph.parameter(p).size();
    return sum;
  }
};

/// The later in the checkpoint, the more it is worth; no pass at all.
class LaterIsBetter final : public Importance<B> {
 public:
  explicit LaterIsBetter(std::size_t missing = 0) : missing_(missing) {}
  std::vector<double> evaluate(ImportanceContext<B>& context) const override {
    std::vector<double> importance(context.graph.parameters().size() - missing_);
    std::iota(importance.begin(), importance.end(), 1.0);
    return importance;
  }
  Flops flops(const TensorGraph<B>&, const Workload&, const Optimizer<B>&) const override { return 0; }

 private:
  std::size_t missing_;
};

/// The single most important tensor that fits: a selector that is an object.
struct OneTensor {
  SelectionResult select(const SelectionProblem& problem) const {
    std::vector<bool> best(problem.dag.items.size(), false);
    double most = 0;
    for (std::size_t i = 0; i < best.size(); ++i) {
      std::vector<bool> one(best.size(), false);
      one[i] = true;
      if (problem.dag.items[i].importance <= most || cost_of(problem.dag, one) > problem.budget) continue;
      most = problem.dag.items[i].importance;
      best = one;
    }
    return make_result(problem.dag, best);
  }
};

}  // namespace

TEST_CASE("a trainer takes another selector, cost model and metric, and keeps the budget in the model's unit") {
  const auto examples = counting_examples(16);
  for (const double rho : {0.5, 0.7}) {
    CAPTURE(rho);
    B backend(2);
    auto model = tiny_model(backend, "llama-gqa-tied");
    Trainer trainer{model, GreenOptions{.flops_ratio = rho, .reselect_every = {2, Interval::Unit::steps}},
                    AdamWOptions{.learning_rate = 1e-3}};
    trainer.use_cost_model(BytesMoved{});
    trainer.use_importance(std::make_unique<LaterIsBetter>());
    const auto report = trainer.fit(examples, {.epochs = 1, .batch_size = 4});
    REQUIRE(report.selections.size() == 2);
    CHECK(report.flops.importance == 0);
    for (const auto& record : report.selections) {
      CHECK(record.unit == "bytes");
      CHECK(record.cost <= record.budget);
      CHECK(!record.names.empty());
    }
    // What was chosen is what the bytes say, of the batches that it was chosen for.
    std::vector<double> importance(model.graph().parameters().size());
    std::iota(importance.begin(), importance.end(), 1.0);
    const BatchSampler sampler(examples.size(), 4, FitOptions{}.seed, true);
    Workload first_two;
    for (const Extent step : {0, 1})
      first_two += workload_of(collate(std::span<const Example>(examples), sampler.batch_indices(step)));
    const BudgetedSelection expected = select_within_ratio(model.graph(), BytesMoved{}, first_two, importance, rho);
    CHECK(report.selections.front().names == names_of(model.graph(), expected.selection));
    CHECK(report.selections.front().budget == expected.budget);
    CHECK(report.flops.full > report.flops.train);  // counted as FLOPs all the same
  }

  B backend(2);
  auto model = tiny_model(backend, "llama-gqa-tied");
  Trainer trainer{model, GreenOptions{.flops_ratio = 0.6}, AdamWOptions{.learning_rate = 1e-3}};
  trainer.use_selector(OneTensor{});
  CHECK(trainer.fit(examples, {.epochs = 1, .batch_size = 4}).selections.front().names.size() == 1);
}

TEST_CASE("what a replacement gives is checked, and what it overspends is said") {
  const auto examples = counting_examples(8);
  B backend(1);
  auto model = tiny_model(backend, "opt-pre");
  const auto tensors = model.graph().parameters().size();
  const GreenOptions half{.flops_ratio = 0.5};
  const AdamWOptions adamw{.learning_rate = 1e-3};
  const auto text_of = [&](Trainer<B>& trainer) {
    std::ostringstream out;
    out << trainer.fit(examples, {.epochs = 1, .batch_size = 4, .evaluate = Evaluations::none});
    return out.str();
  };

  Trainer trainer{model, half, adamw};
  trainer.use_importance(std::make_unique<LaterIsBetter>(1));
  CHECK_THROWS_WITH_AS(trainer.fit(examples, {.batch_size = 4}),
                       doctest::Contains("importance: expected one entry for each of "), ConfigError);
  trainer.use_importance(std::make_unique<LaterIsBetter>());
  trainer.use_selector([](const SelectionProblem&) { return SelectionResult{}; });
  CHECK_THROWS_WITH_AS(trainer.fit(examples, {.batch_size = 4}),
                       doctest::Contains("mask of the selector: expected one entry for each of "), ConfigError);

  trainer.use_selector([&](const SelectionProblem& p) { return make_result(p.dag, std::vector<bool>(tensors, true)); });
  std::string printed = text_of(trainer);
  CHECK(printed.find("after step 0 the selector spent ") != std::string::npos);
  CHECK(printed.find("loss") == std::string::npos);  // none was evaluated
  trainer.use_selector(
      [&](const SelectionProblem& p) { return make_result(p.dag, std::vector<bool>(tensors, false)); });
  printed = text_of(trainer);
  CHECK(printed.find("selected tensors 0: nothing is trained") != std::string::npos);
  CHECK(printed.find("the selector spent") == std::string::npos);

  CHECK_THROWS_WITH_AS(trainer.use_importance(nullptr),
                       "[Trainer] use_importance: expected something to use, got nothing", ConfigError);
  CHECK_THROWS_AS(trainer.use_selector(SelectFunction{}), ConfigError);
  Trainer fixed{model, select_all(model.graph()), adamw};
  CHECK_THROWS_WITH_AS(fixed.use_selector(OneTensor{}),
                       doctest::Contains("use_selector: expected a trainer that chooses"), ConfigError);
  CHECK_THROWS_AS(fixed.use_importance(std::make_unique<LaterIsBetter>()), ConfigError);
  CHECK_THROWS_AS(fixed.use_cost_model(BytesMoved{}), ConfigError);
}
