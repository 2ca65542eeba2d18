#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// The recompute steps, in order, that bring back what the backward steps of one segment read: outputs of the forward
/// steps among operators [first, end). What comes from below the segment is read where the forward pass left it.
template <class P>
std::vector<PassPlan::Step> recompute_steps(const TensorGraph<P>& graph, const PassPlan& plan, OperatorId first,
                                            OperatorId end) {
  std::vector<bool> needed(graph.values().size(), false);
  std::vector<bool> runs(graph.operators().size(), false);
  const auto in_segment = [&](OperatorId id) { return id >= first && id < end; };
  const auto need = [&](const std::vector<ValueId>& ids, BitSet set) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (((set >> i) & 1U) != 0) needed[static_cast<std::size_t>(ids[i])] = true;
    }
  };
  for (const auto& step : plan.steps) {
    if (!in_segment(step.op)) continue;
    if (step.phase == PassPlan::Phase::forward) runs[static_cast<std::size_t>(step.op)] = true;
    if (!step.is_backward()) continue;
    need(graph.op(step.op).inputs, step.inputs);
    need(graph.op(step.op).outputs, step.outputs);
  }
  std::vector<PassPlan::Step> steps;
  for (OperatorId id = end; id-- > first;) {
    const auto& node = graph.op(id);
    const bool wanted = runs[static_cast<std::size_t>(id)] &&
                        std::any_of(node.outputs.begin(), node.outputs.end(),
                                    [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; });
    if (!wanted) continue;
    steps.push_back(forward_step(graph, id, PassPlan::Phase::recompute));
    need(node.inputs, steps.back().inputs);
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

/// The same pass with less memory: of each segment of operators between two cuts only what crosses the upper cut, or is
/// read from above it, is kept; what the segment's backward steps read besides is computed again right before the first
/// of them. A cut c lies in front of operator c; operators from the last cut on keep what they read. Results are those
/// of `plan` bit for bit: the same kernels read the same values. Throws ConfigError for cuts that do not ascend within
/// the graph.
template <class P>
PassPlan with_recomputation(const TensorGraph<P>& graph, const PassPlan& plan, const std::vector<OperatorId>& cuts) {
  OperatorId below = 0;
  for (const OperatorId cut : cuts) {
    if (cut <= below || cut >= static_cast<OperatorId>(graph.operators().size())) {
      throw ConfigError("with_recomputation", "cuts",
                        text("expected ascending operators of the graph after the first, got ", cut));
    }
    below = cut;
  }
  const auto segment_of = [&](OperatorId id) {
    return static_cast<std::size_t>(std::upper_bound(cuts.begin(), cuts.end(), id) - cuts.begin());
  };
  PassPlan result = plan;
  result.steps.clear();
  std::size_t ready = cuts.size();  // the lowest segment whose values are there
  for (const auto& step : plan.steps) {
    if (step.is_backward()) {
      const std::size_t segment = segment_of(step.op);
      if (segment < ready) {
        const OperatorId first = segment == 0 ? 0 : cuts[segment - 1];
        const auto again = recompute_steps(graph, plan, first, cuts[segment]);
        result.steps.insert(result.steps.end(), again.begin(), again.end());
        ready = segment;
      }
    }
    result.steps.push_back(step);
  }
  return result;
}

}  // namespace greentrainer
