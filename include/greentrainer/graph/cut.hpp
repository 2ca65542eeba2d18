#pragma once

#include <algorithm>
#include <vector>

#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// A place in the order of operators: those before `op` lie below it. `values` cross it: computed below, read above.
struct Cut {
  OperatorId op = 0;
  std::vector<ValueId> values;

  friend bool operator==(const Cut&, const Cut&) = default;
};

/// The cuts of the residual stream, ascending: places that fewer elements cross than the places before and after. Where
/// the same values cross several places, the latest of them is the cut. O(operators + values), but for the values of
/// the cuts.
template <class P>
std::vector<Cut> narrow_cuts(const TensorGraph<P>& graph) {
  const std::size_t count = graph.operators().size();
  std::vector<std::vector<ValueId>> begins(count + 1), ends(count + 1);
  for (ValueId v = 0; v < static_cast<ValueId>(graph.values().size()); ++v) {
    const auto& value = graph.value(v);
    if (value.uses.empty()) continue;
    begins[static_cast<std::size_t>(value.producer) + 1].push_back(v);
    ends[static_cast<std::size_t>(value.uses.back().first) + 1].push_back(v);
  }
  std::vector<Extent> widths(count, 0);
  for (std::size_t op = 1; op < count; ++op) {
    widths[op] = widths[op - 1];
    for (const ValueId v : begins[op]) widths[op] += graph.value(v).shape.cols;
    for (const ValueId v : ends[op]) widths[op] -= graph.value(v).shape.cols;
  }

  std::vector<OperatorId> places;
  for (std::size_t first = 1; first < count;) {
    std::size_t end = first;  // of a run of equal widths
    while (end < count && widths[end] == widths[first]) ++end;
    const bool narrow =
        (first == 1 || widths[first - 1] > widths[first]) && (end == count || widths[end] > widths[first]);
    for (std::size_t op = first; narrow && op < end; ++op) {
      const bool same_above = op + 1 < end && begins[op + 1].empty() && ends[op + 1].empty();
      if (!same_above) places.push_back(static_cast<OperatorId>(op));
    }
    first = end;
  }

  std::vector<Cut> cuts;
  std::vector<ValueId> open;
  auto next = places.begin();
  for (OperatorId op = 1; next != places.end(); ++op) {
    const auto at = static_cast<std::size_t>(op);
    open.insert(open.end(), begins[at].begin(), begins[at].end());
    std::erase_if(open, [&](ValueId v) { return graph.value(v).uses.back().first < op; });
    if (*next != op) continue;
    cuts.push_back({.op = op, .values = open});
    std::sort(cuts.back().values.begin(), cuts.back().values.end());
    ++next;
  }
  return cuts;
}

/// The first operator that reads a selected parameter; the number of operators if nothing is selected.
template <class P>
OperatorId first_trained(const TensorGraph<P>& graph, const Selection& selection) {
  auto first = static_cast<OperatorId>(graph.operators().size());
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) first = std::min(first, graph.first_reader(id));
  }
  return first;
}

/// The forward pass below a cut: the operators that its values depend on. Hands out these values.
template <class P>
PassPlan plan_below(const TensorGraph<P>& graph, const Cut& cut) {
  std::vector<bool> needed(graph.values().size(), false);
  for (const ValueId v : cut.values) needed[static_cast<std::size_t>(v)] = true;
  PassPlan plan;
  plan.taken = cut.values;
  plan.value_has_grad.assign(graph.values().size(), false);
  for (OperatorId id = cut.op; id-- > 0;) {
    const auto& node = graph.op(id);
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; }))
      continue;
    plan.steps.push_back(forward_step(graph, id));
    for (const ValueId v : node.inputs) needed[static_cast<std::size_t>(v)] = true;
  }
  std::reverse(plan.steps.begin(), plan.steps.end());
  return plan;
}

/// The part of a plan above a cut, which is given the cut's values. Throws ConfigError for a plan with a backward step
/// below it.
template <class P>
PassPlan plan_above(const TensorGraph<P>& graph, PassPlan plan, const Cut& cut) {
  for (const auto& step : plan.steps) {
    if (step.op >= cut.op || !step.is_backward()) continue;
    throw ConfigError("plan_above", "cut",
                      text("expected nothing trained below it, got a backward step of ", graph.op(step.op).name));
  }
  std::erase_if(plan.steps, [&](const PassPlan::Step& step) { return step.op < cut.op; });
  plan.given = cut.values;
  return plan;
}

}  // namespace greentrainer
