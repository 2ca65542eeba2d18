#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// A place in the order of operators: those before `op` lie below it. `values` cross it: computed below, read above.
struct Cut {
  OperatorId op = 0;
  std::vector<ValueId> values;

  friend bool operator==(const Cut&, const Cut&) = default;
};

/// The cuts of the residual stream, ascending: where the values that cross are no wider than anywhere else with rows of
/// the same kinds (an encoder-decoder's decoder is crossed by the encoder's output, too). Of places that the same
/// values cross the latest stands for all. O(operators + values), but for the values of the cuts.
template <class P>
std::vector<Cut> narrow_cuts(const TensorGraph<P>& graph) {
  const auto& values = graph.values();
  const auto count = static_cast<OperatorId>(graph.operators().size());
  std::vector<std::vector<ValueId>> begins(graph.operators().size() + 1), ends(graph.operators().size() + 1);
  for (ValueId v = 0; v < static_cast<ValueId>(values.size()); ++v) {
    const auto& value = graph.value(v);
    if (value.uses.empty()) continue;
    begins[static_cast<std::size_t>(value.producer) + 1].push_back(v);
    ends[static_cast<std::size_t>(value.uses.back().first) + 1].push_back(v);
  }
  struct Place {
    BitSet kinds = 0;
    Extent width = 0;
    bool begins_here = false;  ///< other values cross the place before
  };
  std::vector<Place> places(graph.operators().size());
  std::map<BitSet, Extent> narrowest;
  std::vector<int> open_of_kind(8, 0);
  Extent width = 0;
  for (OperatorId op = 1; op < count; ++op) {
    const auto at = static_cast<std::size_t>(op);
    const auto change = [&](const std::vector<ValueId>& changed, int sign) {
      for (const ValueId v : changed) {
        open_of_kind[static_cast<std::size_t>(graph.value(v).shape.rows)] += sign;
        width += sign * graph.value(v).shape.cols;
      }
    };
    change(begins[at], 1);
    change(ends[at], -1);
    places[at] = {.width = width, .begins_here = !begins[at].empty() || !ends[at].empty()};
    for (std::size_t kind = 0; kind < open_of_kind.size(); ++kind) {
      if (open_of_kind[kind] > 0) places[at].kinds |= bit(static_cast<int>(kind));
    }
    const auto [found, added] = narrowest.emplace(places[at].kinds, width);
    if (!added) found->second = std::min(found->second, width);
  }

  std::vector<Cut> cuts;
  for (OperatorId op = 1; op < count; ++op) {
    const Place& place = places[static_cast<std::size_t>(op)];
    if (place.kinds == 0 || place.width > narrowest.at(place.kinds)) continue;
    const bool same_above = op + 1 < count && !places[static_cast<std::size_t>(op) + 1].begins_here;
    if (!same_above) cuts.push_back({.op = op, .values = {}});
  }
  std::vector<ValueId> open;
  std::size_t next = 0;
  for (OperatorId op = 1; op < count && next < cuts.size(); ++op) {
    const auto at = static_cast<std::size_t>(op);
    open.insert(open.end(), begins[at].begin(), begins[at].end());
    std::erase_if(open, [&](ValueId v) { return graph.value(v).uses.back().first < op; });
    if (cuts[next].op != op) continue;
    cuts[next].values = open;
    std::sort(cuts[next].values.begin(), cuts[next].values.end());
    ++next;
  }
  return cuts;
}

/// The first operator that reads a parameter.
template <class P>
OperatorId first_use(const TensorGraph<P>& graph, ParameterId id) {
  OperatorId first = graph.uses(id).front().op;
  for (const auto& use : graph.uses(id)) first = std::min(first, use.op);
  return first;
}

/// The first operator that reads a selected parameter; the number of operators if nothing is selected.
template <class P>
OperatorId first_trained(const TensorGraph<P>& graph, const Selection& selection) {
  auto first = static_cast<OperatorId>(graph.operators().size());
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (selection.contains(id)) first = std::min(first, first_use(graph, id));
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
