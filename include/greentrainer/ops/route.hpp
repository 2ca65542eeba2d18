#pragma once

#include "greentrainer/ops/operator.hpp"

namespace greentrainer {

/// Routes tokens to experts: logits (R, experts) to weights (R, experts), of which a row has as many that are not zero
/// as RoutingShape says. The choice has no gradient, its weights have.
struct Route {
  static constexpr std::string_view kind = "route";
  static constexpr bool row_by_row = true;
  enum Part { grad_input };

  Rows rows = Rows::decoder_tokens;
  Extent experts = 0;
  RoutingShape routing = {};

  std::vector<ValueShape> input_shapes() const { return {{rows, experts}}; }
  std::vector<ValueShape> output_shapes() const { return {{rows, experts}}; }
  std::vector<ParameterShape> parameter_shapes() const { return {}; }
  std::vector<GradPart> parts() const {
    return {{.name = "grad_input",
             .kind = GradPart::Kind::input,
             .index = 0,
             .keeps_inputs = routing.normalised ? 0 : bit(0),
             .keeps_outputs = bit(0)}};
  }

  LinearCost forward_cost() const {
    return per(rows, 3 * (routing.normalised ? routing.top_k : experts) + routing.top_k);
  }
  LinearCost part_cost(int, Write) const {
    return per(rows, routing.normalised ? 4 * routing.top_k : 5 * experts + 3 * routing.top_k);
  }

  template <class B>
  void forward(ForwardCall<B>& call) const {
    call.backend.route_forward(routing, call.input(0), call.output(0));
  }
  template <class B>
  void backward(BackwardCall<B>& call) const {
    call.backend.route_grad(routing, call.grad_output(), call.input(0), call.output(0), call.grad_input(0));
  }
};

}  // namespace greentrainer
