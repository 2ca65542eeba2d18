// The backward steps of a plan compute what a selection needs and nothing else, by the definition of need.

#include "greentrainer/graph/pass_plan.hpp"

#include <filesystem>

#include <doctest/doctest.h>

#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/models/architectures.hpp"
#include "support/golden_graphs.hpp"
#include "support/paths.hpp"
#include "support/tiny_models.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

/// A value's gradient is needed if its producer reads a selected parameter, or an input of the producer is needed:
/// asked from the value backwards.
class Need {
 public:
  Need(const Graph& graph, const Selection& selection)
      : graph_(graph), selection_(selection), known_(graph.values().size(), -1) {}

  bool of(ValueId v) {
    int& known = known_[static_cast<std::size_t>(v)];
    if (known < 0) known = graph_.value(v).shape.differentiable && of_operator(graph_.value(v).producer) ? 1 : 0;
    return known == 1;
  }
  bool of_operator(OperatorId id) {
    const auto& op = graph_.op(id);
    const auto selected = [&](ParameterId p) { return selection_.contains(p); };
    return std::any_of(op.parameters.begin(), op.parameters.end(), selected) ||
           std::any_of(op.inputs.begin(), op.inputs.end(), [&](ValueId v) { return of(v); });
  }

 private:
  const Graph& graph_;
  const Selection& selection_;
  std::vector<int> known_;
};

}  // namespace

TEST_CASE("random selections: exactly the parts that are needed, in backward order") {
  std::size_t checked = 0;
  for (const Graph& graph : testing::golden_graphs<CostsAlone>()) {
    for (std::uint64_t seed = 0; seed < 200; ++seed, ++checked) {
      CounterRandom random(seed, "selection");
      const double density = std::array{0.01, 0.05, 0.3, 0.9}[seed % 4];
      const Selection selection = select_where(graph, [&](const Parameter&) { return random.uniform() < density; });
      const PassPlan plan = training_plan(graph, selection);
      Need need(graph, selection);

      std::vector<const PassPlan::Step*> step_of(graph.operators().size(), nullptr);
      OperatorId last = static_cast<OperatorId>(graph.operators().size());
      for (const auto& step : plan.steps) {
        if (!step.is_backward()) continue;
        REQUIRE(step.op < last);
        last = step.op;
        step_of[static_cast<std::size_t>(step.op)] = &step;
      }
      for (ValueId v = 0; v < static_cast<ValueId>(graph.values().size()); ++v)
        REQUIRE(plan.value_has_grad[static_cast<std::size_t>(v)] == need.of(v));
      for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
        const auto& op = graph.op(id);
        const auto* step = step_of[static_cast<std::size_t>(id)];
        REQUIRE((step != nullptr) == need.of_operator(id));
        if (step == nullptr) continue;
        const auto& parts = op.op->parts();
        BitSet expected = 0, keeps_inputs = 0, keeps_outputs = 0;
        for (std::size_t p = 0; p < parts.size(); ++p) {
          const auto index = static_cast<std::size_t>(parts[p].index);
          const bool direct =
              (parts[p].kind == GradPart::Kind::parameter && selection.contains(op.parameters[index])) ||
              (parts[p].kind == GradPart::Kind::input && need.of(op.inputs[index]));
          if (direct) expected |= bit(static_cast<int>(p));
        }
        for (std::size_t round = 0; round < parts.size(); ++round) {  // and what these need, and so on
          for (std::size_t p = 0; p < parts.size(); ++p) {
            if ((expected & bit(static_cast<int>(p))) != 0) expected |= parts[p].after;
          }
        }
        for (std::size_t p = 0; p < parts.size(); ++p) {
          if ((expected & bit(static_cast<int>(p))) == 0) continue;
          keeps_inputs |= parts[p].keeps_inputs;
          keeps_outputs |= parts[p].keeps_outputs;
        }
        CAPTURE(op.name);
        REQUIRE(step->parts == expected);
        if (op.op->is_loss()) keeps_inputs = all_of(op.inputs.size());  // it does the forward work, too
        REQUIRE(step->inputs == keeps_inputs);
        REQUIRE(step->outputs == keeps_outputs);
      }
    }
  }
  CHECK(checked >= 1000);
}

TEST_CASE("nothing selected, nothing computed; a selection of another graph is an error") {
  const Graph graph = testing::encoder_decoder_graph<CostsAlone>(50, 16, 4);
  CHECK_FALSE(training_plan(graph, select_none(graph)).trains());
  CHECK_THROWS_WITH_AS(training_plan(graph, Selection(std::vector<bool>(3, true))), doctest::Contains("got 3"),
                       ConfigError);
}
