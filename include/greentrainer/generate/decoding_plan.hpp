#pragma once

#include <utility>
#include <vector>

#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// The passes of generation, and what outlives them. Structure only, like the graph.
struct DecodingPlan {
  static constexpr int nothing = -1;

  PassPlan prompt = {};  ///< whole prompts and their sources; hands out `cached` and `from_source`
  /// One token more for each sequence: operators on the decoder's rows alone. Reads `cached` with the rows of earlier
  /// tokens and is given `from_source`.
  PassPlan token = {};
  std::vector<ValueId> cached = {};       ///< decoder values of which later tokens read earlier rows: keys and values
  std::vector<ValueId> from_source = {};  ///< encoder values that the token pass reads
  std::vector<int> cache_of_value = {};   ///< for each value: where it stands in `cached`, or `nothing`
};

/// Throws ConfigError if an operator remembers a value that does not have the decoder's rows. O(operators).
template <class P>
DecodingPlan make_decoding_plan(const TensorGraph<P>& graph) {
  DecodingPlan plan{
      .prompt = evaluation_plan(graph), .token = {}, .cached = {}, .from_source = {}, .cache_of_value = {}};
  plan.cache_of_value.assign(graph.values().size(), DecodingPlan::nothing);
  plan.token.value_has_grad = plan.prompt.value_has_grad;
  std::vector<bool> from_source(graph.values().size(), false);
  const auto rows_of = [&](ValueId v) { return graph.value(v).shape.rows; };
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& node = graph.op(id);
    if (!node.outputs.empty() && rows_of(node.outputs.front()) == Rows::encoder_tokens) continue;
    PassPlan::Step step = forward_step(graph, id);
    step.remembered = node.op->remembered_inputs();
    plan.token.steps.push_back(step);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId v = node.inputs[i];
      const auto index = static_cast<std::size_t>(v);
      if (((step.remembered >> i) & 1U) != 0) {
        if (rows_of(v) != Rows::decoder_tokens) {
          throw ConfigError("make_decoding_plan", text(node.name, ", input ", i),
                            "expected the rows of the decoder's tokens, since it is remembered, got others");
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
  plan.token.given = plan.from_source;
  plan.token.taken = plan.cached;
  plan.prompt.taken = plan.cached;
  plan.prompt.taken.insert(plan.prompt.taken.end(), plan.from_source.begin(), plan.from_source.end());
  return plan;
}

}  // namespace greentrainer
