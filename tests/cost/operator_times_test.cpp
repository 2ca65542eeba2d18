#include "greentrainer/cost/operator_times.hpp"

#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"
#include "greentrainer/cost/part_size.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/cost/time_cost.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/opt.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "support/paths.hpp"

using namespace greentrainer;

namespace {

struct Costs {};  // the operators' own
using Graph = TensorGraph<Costs>;

Graph small_graph() {
  const auto folder = testing::source_folder() / "tests/golden/models/opt-pre";
  return Opt::read(ConfigReader::from_file(folder / "config.json")).graph<Costs>();
}

template <class Visit>
void for_each_part(const Graph& graph, Visit visit) {
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const int parts = static_cast<int>(graph.op(id).op->parts().size());
    for (int part = forward_part; part < parts; ++part) visit(id, part);
  }
}

/// Other numbers for each part.
OperatorTimes made_up_times(const Graph& graph) {
  OperatorTimes times;
  double next = 1;
  for_each_part(graph, [&](OperatorId id, int part) {
    if (part_size(graph, id, part) == LinearCost{}) return;
    if (times.parts.emplace(part_key(graph, id, part), PartTime{.per_unit = next, .per_pass = 100 * next}).second)
      ++next;
  });
  return times;
}

}  // namespace

TEST_CASE("times of two sizes lie on the line that is found, and one slow sample changes nothing") {
  const PartTime line = fit_part_time({{10, 30e-9}, {20, 50e-9}, {10, 30e-9}, {20, 50e-9}, {10, 1}, {20, 50e-9}});
  CHECK(line.per_unit == doctest::Approx(2000).epsilon(1e-9));
  CHECK(line.per_pass == doctest::Approx(10000).epsilon(1e-9));
}

TEST_CASE("neither number of a part's time is negative") {
  const PartTime through_zero = fit_part_time({{10, 10e-9}, {20, 30e-9}});  // its constant would be -10 ns
  CHECK(through_zero.per_pass == 0);
  CHECK(through_zero.per_unit > 1000);
  CHECK(through_zero.per_unit < 1500);
  const PartTime constant = fit_part_time({{10, 30e-9}, {20, 10e-9}});
  CHECK(constant.per_unit == 0);
  CHECK(constant.per_pass > 10000);
  CHECK(constant.per_pass < 30000);
}

TEST_CASE("samples of one size alone give a time in proportion to the size") {
  const PartTime one = fit_part_time({{8, 16e-9}, {8, 16e-9}});
  CHECK(one.per_unit == doctest::Approx(2000));
  CHECK(one.per_pass == 0);
}

TEST_CASE("parts of equal layers have one key, and every part that computes something has one") {
  const Graph graph = small_graph();
  const OperatorTimes times = made_up_times(graph);
  std::size_t parts = 0;
  for_each_part(graph, [&](OperatorId, int) { ++parts; });
  CHECK(times.parts.size() < parts * 2 / 3);
  CHECK(first_unmeasured(graph, times).empty());
}

TEST_CASE("the price of a pass in time is the sum over its parts, each by its own line") {
  const Graph graph = small_graph();
  const auto times = std::make_shared<const OperatorTimes>(made_up_times(graph));
  const TimeCost<Costs> cost(times);
  CounterRandom random(7, "selections");
  for (int trial = 0; trial < 200; ++trial) {
    Selection selection = select_none(graph);
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (random.uniform() < 0.3) selection.insert(id);
    }
    const Workload workload = uniform_workload(1 + trial % 4, 20 + trial, 5);
    double expected = 0;
    const auto add = [&](OperatorId id, int part) {
      const auto units = static_cast<double>(evaluate(part_size(graph, id, part), workload));
      if (units == 0) return;
      const PartTime& time = times->parts.at(part_key(graph, id, part));
      expected += units * time.per_unit + time.per_pass;
    };
    const PassPlan plan = training_plan(graph, selection);
    for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) add(id, forward_part);
    for (const PassPlan::Step& step : plan.steps) {
      for (int part = 0; part < 32; ++part) {
        if ((step.parts & bit(part)) != 0) add(step.op, part);
      }
    }
    CHECK(static_cast<double>(evaluate(pass_cost(graph, plan, cost).total(), workload)) == expected);
  }
}

TEST_CASE("tensors are chosen within a share of the time of full fine-tuning") {
  const Graph graph = small_graph();
  const TimeCost<Costs> cost(std::make_shared<const OperatorTimes>(made_up_times(graph)));
  const Workload workload = uniform_workload(4, 40, 10) * 20;
  const std::vector<double> importance(graph.parameters().size(), 1.0);
  const BudgetedSelection chosen = select_within_ratio(graph, cost, workload, importance, 0.6);
  const std::int64_t full = evaluate(full_fine_tuning_cost(graph, cost), workload);
  const std::int64_t spent = evaluate(pass_cost(graph, training_plan(graph, chosen.selection), cost).total(), workload);
  CHECK(chosen.full == full);
  CHECK(chosen.forward + chosen.cost == spent);
  CHECK(static_cast<double>(spent) <= 0.6 * static_cast<double>(full));
  CHECK(chosen.selection.count() > 0);
}

TEST_CASE("an operator whose time is not known is refused by name") {
  const Graph graph = small_graph();
  OperatorTimes times = made_up_times(graph);
  OperatorId last = 0;
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    if (graph.op(id).op->is_loss()) last = id;
  }
  times.parts.erase(part_key(graph, last, forward_part));
  CHECK(first_unmeasured(graph, times) == graph.op(last).name);
  const TimeCost<Costs> cost(std::make_shared<const OperatorTimes>(times));
  try {
    forward_cost(graph, cost);
    FAIL("expected a ConfigError");
  } catch (const ConfigError& error) {
    CHECK(error.subject() == graph.op(last).name);
  }
}
