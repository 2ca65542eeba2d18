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

/// Operators [first, end) whose values a pass does not keep, except for those that are read from outside of the
/// segment.
struct DroppedSegment {
  OperatorId first = 0;
  OperatorId end = 0;

  friend bool operator==(const DroppedSegment&, const DroppedSegment&) = default;
};

/// Every segment between two cuts, and the one below the first: the operators from the last cut on keep what they read.
inline std::vector<DroppedSegment> segments_between(const std::vector<OperatorId>& cuts) {
  std::vector<DroppedSegment> segments;
  OperatorId below = 0;
  for (const OperatorId cut : cuts) segments.push_back({std::exchange(below, cut), cut});
  return segments;
}

/// The same pass with less memory: of the operators of a dropped segment only what is read from outside of it is kept;
/// what the segment's backward steps read besides is computed again right before the first of them. Results are those
/// of `plan` bit for bit: the same kernels read the same values. Throws ConfigError for segments that are empty, do not
/// ascend without overlap, or hold the loss.
template <class P>
PassPlan with_recomputation(const TensorGraph<P>& graph, const PassPlan& plan,
                            const std::vector<DroppedSegment>& segments) {
  OperatorId below = 0;
  for (const DroppedSegment& segment : segments) {
    if (segment.first < below || segment.end <= segment.first ||
        segment.end >= static_cast<OperatorId>(graph.operators().size())) {
      throw ConfigError("with_recomputation", "segments",
                        text("expected ascending segments of operators below the loss, got one from ", segment.first,
                             " to ", segment.end));
    }
    below = segment.end;
  }
  PassPlan result = plan;
  result.steps.clear();
  auto next = segments.rbegin();  // the highest segment that was not yet computed again
  for (const auto& step : plan.steps) {
    while (step.is_backward() && next != segments.rend() && step.op < next->end) {
      if (step.op >= next->first) {
        const auto again = recompute_steps(graph, plan, next->first, next->end);
        result.steps.insert(result.steps.end(), again.begin(), again.end());
      }
      ++next;
    }
    result.steps.push_back(step);
  }
  return result;
}

}  // namespace greentrainer
