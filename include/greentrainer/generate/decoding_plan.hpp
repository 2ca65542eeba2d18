#pragma once

#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"

namespace greentrainer {

/// What of a graph runs for every new token, and what outlives the pass that made it. Structure only, like the graph.
struct DecodingPlan {
  static constexpr int nothing = -1;

  std::vector<OperatorId>
      every_token;              ///< operators whose rows are the decoder's, in order; the others run once for a source
  std::vector<ValueId> cached;  ///< decoder values of which later tokens read the rows of earlier ones: keys and values
  std::vector<ValueId> from_source;  ///< encoder values that operators in `every_token` read
  std::vector<int> cache_of_value;   ///< for each value: where it stands in `cached`, or `nothing`
};

/// Throws ConfigError if an operator remembers a value that does not have the decoder's rows. O(operators).
template <class P>
DecodingPlan make_decoding_plan(const TensorGraph<P>& graph) {
  DecodingPlan plan;
  plan.cache_of_value.assign(graph.values().size(), DecodingPlan::nothing);
  std::vector<bool> from_source(graph.values().size(), false);
  const auto rows_of = [&](ValueId v) { return graph.value(v).shape.rows; };
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& node = graph.op(id);
    if (!node.outputs.empty() && rows_of(node.outputs.front()) == Rows::encoder_tokens) continue;
    plan.every_token.push_back(id);
    const BitSet remembered = node.op->remembered_inputs();
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      const auto index = static_cast<std::size_t>(v);
      if (((remembered >> i) & 1U) != 0) {
        if (rows_of(v) != Rows::decoder_tokens) {
          throw ConfigError("make_decoding_plan",
                            text(node.name, ", input ", i,
                                 ": expected the rows of the decoder's tokens, since it is remembered, got others"));
        }
        if (plan.cache_of_value[index] != DecodingPlan::nothing) continue;
        plan.cache_of_value[index] = static_cast<int>(plan.cached.size());
        plan.cached.push_back(v);
      }
      if (rows_of(v) != Rows::encoder_tokens || from_source[index]) continue;
      from_source[index] = true;
      plan.from_source.push_back(v);
    }
  }
  return plan;
}

}  // namespace greentrainer
