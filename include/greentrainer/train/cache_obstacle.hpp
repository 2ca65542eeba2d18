#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/train/cache_forecast.hpp"

namespace greentrainer {

namespace detail {

/// The selected parameter that the first trained operator reads, and whether others do, too.
template <class P>
std::string deepest_trained(const TensorGraph<P>& graph, const Selection& selection) {
  const OperatorId first = first_trained(graph, selection);
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (!selection.contains(id) || graph.first_reader(id) != first) continue;
    std::string what = text(graph.parameter(id).name, " is trained, and ", graph.op(first).name, " reads it");
    std::size_t readers = 1;
    for (const auto& use : graph.uses(id)) readers += use.op != first ? 1U : 0U;
    if (readers > 1) what += text(", the first of ", readers, " operators that share it");
    return what;
  }
  return "nothing is trained";
}

/// Why the values at a cut cannot be cached, in words; empty if they can.
template <class P>
std::string cut_refusal(const TensorGraph<P>& graph, const Cut& cut) {
  for (OperatorId id = 0; id < cut.op; ++id) {
    if (!graph.op(id).op->is_random()) continue;
    return text(graph.op(id).name, " draws random numbers (", graph.op(id).op->kind(),
                ") in every pass, so values above it are never the same twice");
  }
  const bool prefixed =
      std::any_of(cut.values.begin(), cut.values.end(), [&](ValueId v) { return graph.value(v).shape.prefix > 0; });
  return prefixed ? "learned rows stand in front of each sequence's" : "";
}

}  // namespace detail

/// Why a cache saves nothing in a selection's coming passes, in words: what is trained lies too deep, something below
/// is random, or no example is read twice within the limit and the coming steps. `forecasts` are those of the cuts that
/// can be cached. Requires that `best_cut` finds none.
template <class P>
std::string why_not_cached(const TensorGraph<P>& graph, const Selection& selection,
                           std::span<const CutForecast> forecasts) {
  const OperatorId first = first_trained(graph, selection);
  std::vector<Cut> below = narrow_cuts(graph);
  std::erase_if(below, [&](const Cut& cut) { return cut.op > first || !is_worth_caching(graph, cut); });
  if (below.empty()) return text("nothing is frozen below: ", detail::deepest_trained(graph, selection));
  std::string refusal = detail::cut_refusal(graph, below.front());
  if (!refusal.empty()) return refusal;
  for (const CutForecast& f : forecasts) {
    if (f.cut == below.front() && f.bytes == 0) return "the limit has no room for the values of any example";
  }
  return "in the steps to come no example whose values fit is read twice";
}

}  // namespace greentrainer
