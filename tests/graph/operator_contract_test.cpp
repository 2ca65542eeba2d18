// What an operator says of its gradients is checked where it is added: plans, prices and lifetimes believe it.

#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/blocks/block_builder.hpp"
#include "greentrainer/graph/pass_plan.hpp"

using namespace greentrainer;

namespace {

struct CostsAlone {};
using Graph = TensorGraph<CostsAlone>;

constexpr Rows tokens = Rows::decoder_tokens;
constexpr ValueShape four{tokens, 4};

/// One input of width 4, one output like it, and whatever gradient parts a test gives it.
struct Custom {
  static constexpr std::string_view kind = "custom";
  std::vector<GradPart> gradients;
  std::vector<ParameterShape> weights = {};

  std::vector<ValueShape> input_shapes() const { return {four}; }
  std::vector<ValueShape> output_shapes() const { return {four}; }
  std::vector<ParameterShape> parameter_shapes() const { return weights; }
  std::vector<GradPart> parts() const { return gradients; }
  LinearCost forward_cost() const { return per(tokens, 4); }
  LinearCost part_cost(int, Write) const { return per(tokens, 4); }
};

const GradPart input_gradient{.name = "grad_input", .kind = GradPart::Kind::input, .adds = true};

struct Small {
  Graph graph;
  BlockBuilder<CostsAlone> builder{graph};
  ValueId x = 0;

  Small() {
    graph.parameter("embed.weight", {10, 4});
    graph.parameter("layer.weight", {4, 4});
    graph.parameter("head.weight", {10, 4});
    x = builder.embedding("embed", {.rows = tokens});
  }
  void end() { builder.cross_entropy_head("head", builder.gather_labelled("labelled_rows", x), "head.weight"); }
};

}  // namespace

TEST_CASE("gradient parts name what the operator has, behind the parts they need") {
  const auto refused = [](std::vector<GradPart> parts, const char* message) {
    Small small;
    CHECK_THROWS_WITH_AS(small.graph.add(Custom{std::move(parts)}, "own", {small.x}), doctest::Contains(message),
                         ConfigError);
  };
  using Kind = GradPart::Kind;
  refused({{.name = "grad_input", .kind = Kind::input, .index = 1}},
          "own, gradient part grad_input: expected the index of an input or parameter");
  refused({{.name = "grad_input", .kind = Kind::input, .index = -1}}, "the index of an input or parameter");
  refused({{.name = "grad_weight", .kind = Kind::parameter}},
          "own, gradient part grad_weight: expected the index of an input or parameter");
  refused({{.name = "grad_input", .kind = Kind::input, .after = bit(1)}, {.name = "shared"}},
          "expected to come behind the parts that it needs");
  refused({{.name = "grad_input", .kind = Kind::input, .after = bit(0)}},
          "expected to come behind the parts that it needs");
  refused({{.name = "grad_input", .kind = Kind::input, .keeps_inputs = bit(1)}},
          "expected to keep inputs that the operator has");
  refused({{.name = "grad_input", .kind = Kind::input, .keeps_outputs = bit(3)}},
          "expected to keep outputs that the operator has");
  refused(std::vector<GradPart>(33, input_gradient), "own: expected at most 32 parts");

  Small small;
  CHECK_THROWS_WITH_AS(small.graph.add(Custom{{input_gradient}, {{4, 4}}}, "own", {small.x}, {99}),
                       "[own] parameter 0: no such parameter", ShapeError);
  CHECK_THROWS_AS(small.graph.add(Custom{{input_gradient}, {{4, 4}}}, "own", {small.x}, {-1}), ShapeError);
}

TEST_CASE("a parameter below an operator that passes no gradient is refused, not trained on nothing") {
  Small small;
  small.x = small.builder.linear("layer", small.x);
  small.x = small.graph.add(Custom{{}}, "detach", {small.x}).front();
  small.end();
  CHECK_THROWS_WITH_AS(
      small.graph.finish(),
      doctest::Contains("layer.weight: expected a gradient to reach it, got layer none of whose outputs has one"),
      ConfigError);
}

TEST_CASE("beside an operator that passes no gradient, the others' are complete") {
  Small small;
  const ValueId layer = small.builder.linear("layer", small.x);
  const ValueId detached = small.graph.add(Custom{{}}, "detach", {layer}).front();  // the last user of `layer`
  const ValueId sum = small.builder.add("sum", layer, detached);
  small.x = sum;
  small.end();
  small.graph.finish();

  const OperatorId add = small.graph.value(sum).producer;
  const OperatorId linear = small.graph.value(layer).producer;
  CHECK(small.graph.contribution(add, 0) == Write::overwrite);
  CHECK(small.graph.contribution(linear, 0) == Write::overwrite);
  const PassPlan plan = training_plan(small.graph, select_listed(small.graph, {"layer.weight"}));
  CHECK(plan.value_has_grad[static_cast<std::size_t>(layer)]);
  CHECK(small.graph.op(plan.steps[static_cast<std::size_t>(plan.turning_point())].op).op->is_loss());
}
