#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/cut.hpp"
#include "greentrainer/select/forward_levels.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"

namespace greentrainer {

/// Whether computing the values at a cut costs more than copying them. It does not where only lookups, additions and
/// norms lie below: the most expensive of these takes 8 FLOPs for an element, a product at least twice its width.
template <class P>
bool is_worth_caching(const TensorGraph<P>& graph, const Cut& cut) {
  constexpr Flops least = 16;  // for an element
  const Workload token = uniform_workload(1, 1, 1, 1, graph.window());
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

/// Simulates a cache at one cut over the coming steps: which examples it will hold at each of them.
template <class P>
class CacheFill {
 public:
  /// `held`: tells of examples that are there already, in so many bytes.
  CacheFill(const TensorGraph<P>& graph, const Cut& cut, const PrefixRoom& room, const TrainingBatches& batches,
            const PrefixStore* held = nullptr)
      : graph_(&graph),
        cut_(&cut),
        room_(room),
        batches_(&batches),
        bytes_(held == nullptr ? 0 : held->bytes()),
        has_(batches.count(), 0) {
    for (std::size_t i = 0; held != nullptr && i < has_.size(); ++i) has_[i] = held->holds(i) ? 1 : 0;
  }

  /// Reads a batch: the part below the cut runs for what is not there.
  void read(std::span<const std::size_t> numbers) {
    missing_.clear();
    for (const std::size_t i : numbers) {
      if (has_[i] == 0) missing_.push_back(i);
    }
    const Extent passes = computed_[Measure::steps] + (missing_.empty() ? 0 : 1);
    for (const std::size_t i : missing_) {
      computed_ += batches_->workload(i);
      if (has_[i] != 0) continue;  // twice in the batch
      const Bytes entry = room_.entry(*graph_, *cut_, batches_->workload(i));
      if (bytes_ + entry > room_.limit) continue;
      bytes_ += entry;
      has_[i] = 1;
    }
    computed_[Measure::steps] = passes;
  }

  /// The workload that the part below the cut has run for.
  const Workload& computed() const { return computed_; }
  Bytes bytes() const { return bytes_; }

 private:
  const TensorGraph<P>* graph_;
  const Cut* cut_;
  PrefixRoom room_;
  const TrainingBatches* batches_;
  Workload computed_;
  Bytes bytes_ = 0;
  std::vector<char> has_;  // of the examples
  TrainingBatches::Numbers missing_;
};

/// What the part of the model below each cut will be run for in the steps [first, end), if its values are cached within
/// this limit from now on. Simulates the steps example by example. `held` has entries of the cut `held_cut`.
template <class P>
std::vector<CutForecast> forecast_cache(const TensorGraph<P>& graph, const std::vector<Cut>& cuts,
                                        const PrefixRoom& room, const TrainingBatches& batches, Extent first,
                                        Extent end, const std::optional<Cut>& held_cut = {},
                                        const PrefixStore* held = nullptr) {
  // Cuts with rows of the same kinds and widths fill up alike.
  using Shape = std::vector<std::pair<Rows, Extent>>;
  std::map<Shape, std::size_t> fill_of;
  std::vector<CacheFill<P>> fills;
  std::vector<std::size_t> filled;  // for each cut
  for (const Cut& cut : cuts) {
    if (held_cut == cut) {
      filled.push_back(fills.size());
      fills.emplace_back(graph, cut, room, batches, held);
      continue;
    }
    Shape shape;
    for (const ValueId v : cut.values) shape.emplace_back(graph.value(v).shape.rows, graph.value(v).shape.cols);
    const auto [found, added] = fill_of.try_emplace(std::move(shape), fills.size());
    if (added) fills.emplace_back(graph, cut, room, batches);
    filled.push_back(found->second);
  }
  batches.for_each_batch(first, end, [&](std::span<const std::size_t> numbers) {
    for (CacheFill<P>& fill : fills) fill.read(numbers);
  });
  std::vector<CutForecast> forecasts;
  for (std::size_t c = 0; c < cuts.size(); ++c) {
    const CacheFill<P>& fill = fills[filled[c]];
    forecasts.push_back({.cut = cuts[c], .computed = fill.computed(), .bytes = fill.bytes()});
  }
  return forecasts;
}

/// The most bytes, within the limit, that the values of all examples take at any cut up to operator `highest`: the room
/// that a run may need. 0 where no example is read twice.
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
