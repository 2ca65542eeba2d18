#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/select/forward_levels.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// Whether computing the values at a cut takes more than copying them: not where nothing but lookups, additions and
/// norms lie below, of which the dearest takes 8 FLOPs for an element; a product takes at least twice its width.
template <class P>
bool is_worth_caching(const TensorGraph<P>& graph, const Cut& cut) {
  constexpr Flops least = 16;  // for an element
  const Workload token = uniform_workload(1, 1, 1, 1);
  const Flops below = evaluate(pass_cost(graph, plan_below(graph, cut), ExactCost<P>{}).total(), token);
  return below >= least * PrefixRoom{.element_size = 1}.entry(graph, cut, token);
}

/// The cuts whose values can be cached, ascending: they follow from the example alone. An operator that draws random
/// numbers ends them, since its outputs change from pass to pass; so do values with learned rows in front of each
/// sequence.
template <class P>
std::vector<Cut> cacheable_cuts(const TensorGraph<P>& graph) {
  std::vector<Cut> cuts = narrow_cuts(graph);
  const auto& operators = graph.operators();
  const auto random =
      std::find_if(operators.begin(), operators.end(), [](const auto& node) { return node.op->is_random(); });
  const auto first_random = static_cast<OperatorId>(random - operators.begin());
  std::erase_if(cuts, [&](const Cut& cut) {
    return cut.op > first_random ||
           std::any_of(cut.values.begin(), cut.values.end(),
                       [&](ValueId v) { return graph.value(v).shape.prefix > 0; }) ||
           !is_worth_caching(graph, cut);
  });
  return cuts;
}

/// A cache that is played through steps to come, at one cut: which examples it will have when.
template <class P>
class CacheFill {
 public:
  /// `held`: tells of examples that are there already, in so many bytes.
  CacheFill(const TensorGraph<P>& graph, const Cut& cut, const PrefixRoom& room, const PrefixStore* held = nullptr)
      : graph_(&graph), cut_(&cut), room_(room), held_(held), bytes_(held == nullptr ? 0 : held->bytes()) {}

  /// Reads a batch; returns what the part below the cut runs for.
  Workload read(const TrainingBatches& batches, const TrainingBatches::Numbers& numbers) {
    TrainingBatches::Numbers missing;
    for (const std::size_t i : numbers) {
      if (!added_.contains(i) && (held_ == nullptr || !held_->holds(i))) missing.push_back(i);
    }
    for (const std::size_t i : missing) {
      const Bytes entry = room_.entry(*graph_, *cut_, batches.workload(i));
      if (added_.contains(i) || bytes_ + entry > room_.limit) continue;
      bytes_ += entry;
      added_.insert(i);
    }
    return batches.workload_of_batch(missing);
  }
  /// The same for the batches of the steps [first, end).
  Workload read(const TrainingBatches& batches, Extent first, Extent end) {
    Workload computed;
    for (Extent step = first; step < end; ++step) {
      for (const auto& numbers : batches.of_step(step)) computed += read(batches, numbers);
    }
    return computed;
  }

  Bytes bytes() const { return bytes_; }

 private:
  const TensorGraph<P>* graph_;
  const Cut* cut_;
  PrefixRoom room_;
  const PrefixStore* held_;
  std::unordered_set<std::size_t> added_;
  Bytes bytes_ = 0;
};

/// What the part of the model below each cut will be run for in the steps [first, end), if its values are cached in
/// this room from now on: by playing the steps through, to the example. `held` has entries of the cut `held_cut`.
template <class P>
std::vector<CutForecast> forecast_cache(const TensorGraph<P>& graph, const std::vector<Cut>& cuts,
                                        const PrefixRoom& room, const TrainingBatches& batches, Extent first,
                                        Extent end, const std::optional<Cut>& held_cut = {},
                                        const PrefixStore* held = nullptr) {
  // Cuts with rows of the same kinds and widths fill up alike.
  using Shape = std::vector<std::pair<Rows, Extent>>;
  std::map<Shape, CutForecast> filled;
  const auto play = [&](const Cut& cut, const PrefixStore* store) {
    CacheFill<P> fill(graph, cut, room, store);
    CutForecast forecast{.cut = cut, .computed = fill.read(batches, first, end)};
    forecast.bytes = fill.bytes();
    return forecast;
  };
  std::vector<CutForecast> forecasts;
  for (const Cut& cut : cuts) {
    if (held_cut == cut) {
      forecasts.push_back(play(cut, held));
      continue;
    }
    Shape shape;
    for (const ValueId v : cut.values) shape.emplace_back(graph.value(v).shape.rows, graph.value(v).shape.cols);
    auto found = filled.find(shape);
    if (found == filled.end()) found = filled.emplace(shape, play(cut, nullptr)).first;
    forecasts.push_back(found->second);
    forecasts.back().cut = cut;
  }
  return forecasts;
}

/// The most bytes that values of all examples come to at any cut up to operator `highest`, within the limit: what a run
/// may need room for. 0 where no example is read twice.
template <class P>
Bytes most_cached_bytes(const TensorGraph<P>& graph, const PrefixRoom& room, const TrainingBatches& batches,
                        OperatorId highest) {
  if (batches.steps() <= batches.steps_per_epoch()) return 0;
  Workload all;
  for (std::size_t i = 0; i < batches.count(); ++i) all += batches.workload(i);
  Bytes most = 0;
  for (const Cut& cut : cacheable_cuts(graph)) {
    if (cut.op > highest) break;
    most = std::max(most, room.entry(graph, cut, all) + static_cast<Bytes>(batches.count()) * room.beside_each);
  }
  return std::min(most, room.limit);
}

}  // namespace greentrainer
