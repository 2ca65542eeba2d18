#pragma once

#include <string_view>

#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// FLOPs as the policy's backend executes them: the operators' own counts, unless the policy says otherwise. A policy
/// may have
///   `static LinearCost adjust_cost(std::string_view operator_kind, std::string_view part, LinearCost)`  (part
///   "forward" for the forward pass).
/// Prices in another unit (bytes, seconds) are another cost model.
template <class P>
struct ExactCost {
  static constexpr std::string_view unit() { return "FLOPs"; }

  LinearCost forward(const TensorGraph<P>& graph, OperatorId id) const {
    const auto& op = *graph.op(id).op;
    return adjust(op.kind(), "forward", op.forward_cost());
  }
  /// Cost of one part of an operator's backward pass.
  LinearCost part(const TensorGraph<P>& graph, OperatorId id, int part) const {
    const auto& op = *graph.op(id).op;
    const GradPart& p = op.parts()[static_cast<std::size_t>(part)];
    const Write write = p.kind == GradPart::Kind::input ? graph.contribution(id, p.index) : Write::overwrite;
    return adjust(op.kind(), p.name, op.part_cost(part, write));
  }

 private:
  static LinearCost adjust([[maybe_unused]] std::string_view kind, [[maybe_unused]] std::string_view part,
                           LinearCost cost) {
    if constexpr (requires { P::adjust_cost(kind, part, cost); })
      return P::adjust_cost(kind, part, cost);
    else
      return cost;
  }
};

}  // namespace greentrainer
