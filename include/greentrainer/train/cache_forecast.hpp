#pragma once

#include <algorithm>
#include <map>
#include <span>
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
  struct Play {
    const Cut* cut = nullptr;
    Bytes bytes = 0;
    std::vector<char> held;  // of the examples
    Workload computed = {};
  };
  // Cuts with rows of the same kinds and widths fill up alike.
  using Shape = std::vector<std::pair<Rows, Extent>>;
  std::map<Shape, std::size_t> play_of;
  std::vector<Play> plays;
  std::vector<std::size_t> played;  // for each cut
  const std::size_t examples = batches.examples().size();
  for (const Cut& cut : cuts) {
    if (cache.cut() == cut) {
      played.push_back(plays.size());
      plays.push_back({.cut = &cut, .bytes = cache.bytes(), .held = std::vector<char>(examples, 0)});
      for (std::size_t i = 0; i < examples; ++i) plays.back().held[i] = cache.holds(i) ? 1 : 0;
      continue;
    }
    Shape shape;
    for (const ValueId v : cut.values) shape.emplace_back(graph.value(v).shape.rows, graph.value(v).shape.cols);
    const auto [found, added] = play_of.try_emplace(std::move(shape), plays.size());
    if (added) plays.push_back({.cut = &cut, .held = std::vector<char>(examples, 0)});
    played.push_back(found->second);
  }

  TrainingBatches::Numbers missing;
  batches.for_each_batch(first, end, [&](std::span<const std::size_t> numbers) {
    for (Play& play : plays) {
      missing.clear();
      for (const std::size_t i : numbers) {
        if (play.held[i] == 0) missing.push_back(i);
      }
      const Extent passes = play.computed[Measure::steps] + (missing.empty() ? 0 : 1);
      for (const std::size_t i : missing) {
        play.computed += batches.workload(i);
        const Bytes needed = PrefixCache<B>::example_bytes(graph, *play.cut, batches.workload(i));
        if (play.held[i] != 0 || play.bytes + needed > limit) continue;
        play.bytes += needed;
        play.held[i] = 1;
      }
      play.computed[Measure::steps] = passes;
    }
  });
  std::vector<CutForecast> forecasts;
  for (std::size_t c = 0; c < cuts.size(); ++c) forecasts.push_back({cuts[c], plays[played[c]].computed});
  return forecasts;
}

}  // namespace greentrainer
