#pragma once

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "greentrainer/graph/cut.hpp"
#include "greentrainer/select/forward_levels.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

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
    return cut.op > first_random || std::any_of(cut.values.begin(), cut.values.end(),
                                                [&](ValueId v) { return graph.value(v).shape.prefix > 0; });
  });
  return cuts;
}

/// What the part of the model below each cut will be run for in the steps [first, end), if its values are cached within
/// `limit` bytes from now on: by playing the steps through, to the example.
template <Backend B>
std::vector<CutForecast> forecast_cache(const TensorGraph<B>& graph, const std::vector<Cut>& cuts,
                                        const PrefixCache<B>& cache, Bytes limit, const TrainingBatches& batches,
                                        Extent first, Extent end) {
  // Cuts with rows of the same kinds and widths fill up alike.
  using Shape = std::vector<std::pair<Rows, Extent>>;
  std::map<Shape, Workload> filled;
  const auto play = [&](const Cut& cut, bool is_cached) {
    std::unordered_set<std::size_t> held;
    Bytes bytes = is_cached ? cache.bytes() : 0;
    Workload computed;
    for (Extent step = first; step < end; ++step) {
      for (const auto& numbers : batches.of_step(step)) {
        TrainingBatches::Numbers missing;
        for (const std::size_t i : numbers) {
          if (!held.contains(i) && !(is_cached && cache.holds(i))) missing.push_back(i);
        }
        computed += batches.workload_of_batch(missing);
        for (const std::size_t i : missing) {
          const Bytes needed = PrefixCache<B>::example_bytes(graph, cut, batches.workload(i));
          if (held.contains(i) || bytes + needed > limit) continue;
          bytes += needed;
          held.insert(i);
        }
      }
    }
    return computed;
  };
  std::vector<CutForecast> forecasts;
  for (const Cut& cut : cuts) {
    if (cache.cut() == cut) {
      forecasts.push_back({cut, play(cut, true)});
      continue;
    }
    Shape shape;
    for (const ValueId v : cut.values) shape.emplace_back(graph.value(v).shape.rows, graph.value(v).shape.cols);
    const auto found = filled.find(shape);
    if (found == filled.end()) filled.emplace(shape, play(cut, false));
    forecasts.push_back({cut, filled.at(shape)});
  }
  return forecasts;
}

}  // namespace greentrainer
