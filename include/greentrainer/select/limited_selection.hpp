#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/cost/memory_limit.hpp"
#include "greentrainer/select/budgeted_selection.hpp"

namespace greentrainer {

/// A selection that keeps a FLOPs ratio and a memory limit, and what its passes compute again for the latter.
template <class P>
struct LimitedSelection {
  BudgetedSelection chosen;
  typename MemoryLimit<P>::Pass pass;
  std::int64_t recomputed = 0;  ///< until the next selection, in the cost model's unit; on top of `chosen.cost`
};

/// The tensors that rounds of a selection may still choose: those not left out, of operators from a bottom on; of a
/// pair both or none.
class Candidates {
 public:
  template <class P>
  explicit Candidates(const TensorGraph<P>& graph, std::span<const ParameterPair> pairs = {})
      : operators_(static_cast<OperatorId>(graph.operators().size())), left_out_(graph.parameters().size(), false) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(left_out_.size()); ++id) {
      first_uses_.push_back(graph.first_reader(id));
      partners_.push_back(static_cast<std::size_t>(id));
    }
    for (const ParameterPair& pair : pairs) {
      partners_[static_cast<std::size_t>(pair.first)] = static_cast<std::size_t>(pair.second);
      partners_[static_cast<std::size_t>(pair.second)] = static_cast<std::size_t>(pair.first);
    }
  }

  bool contains(std::size_t id) const { return is_left(id) && is_left(partners_[id]); }
  void leave_out(std::size_t id) { left_out_[id] = true; }
  /// Leaves out what lies below a quarter of the operators from `first` on. False where nothing would be left.
  bool raise_bottom(OperatorId first) {
    const OperatorId from = std::max(bottom_, first);
    const OperatorId to = from + std::max(1, (operators_ - from) / 4);
    for (std::size_t id = 0; id < left_out_.size(); ++id) {
      if (left_out_[id] || first_uses_[id] < to) continue;
      bottom_ = to;
      return true;
    }
    return false;
  }

 private:
  bool is_left(std::size_t id) const { return !left_out_[id] && first_uses_[id] >= bottom_; }

  OperatorId operators_, bottom_ = 0;
  std::vector<OperatorId> first_uses_;
  std::vector<std::size_t> partners_;  ///< of those without: themselves
  std::vector<bool> left_out_;
};

/// Leaves out tensors so that gradients and optimizer state take `excess` bytes less: all that would take more than
/// what then remains, or, where none of these is selected, those selected that are worth least for a byte.
template <class P>
void leave_out(Candidates& candidates, const MemoryLimit<P>& memory, const Selection& selection,
               const std::vector<double>& importance, Bytes excess) {
  std::vector<std::pair<double, std::size_t>> selected;  // worth of a byte
  Bytes bytes = 0;
  for (std::size_t id = 0; id < importance.size(); ++id) {
    if (!selection.mask()[id]) continue;
    const Bytes own = memory.trained_bytes(static_cast<ParameterId>(id));
    bytes += own;
    selected.emplace_back(importance[id] / static_cast<double>(own), id);
  }
  bool too_large = false;
  for (std::size_t id = 0; id < importance.size(); ++id) {
    if (memory.trained_bytes(static_cast<ParameterId>(id)) <= bytes - excess) continue;
    candidates.leave_out(id);
    too_large = too_large || selection.mask()[id];
  }
  std::sort(selected.begin(), selected.end());
  for (auto least = selected.begin(); least != selected.end() && !too_large && excess > 0; ++least) {
    candidates.leave_out(least->second);
    excess -= memory.trained_bytes(static_cast<ParameterId>(least->second));
  }
}

/// Selects again until both limits hold. Each round selects with what the rounds before have shown:
/// - Where the FLOPs of what is computed again do not fit into the ratio, they are set aside, up to six times.
/// - Where gradients and optimizer state are what leaves no room, tensors are left out: see leave_out.
/// - Otherwise activations leave no room, or setting aside has not helped: the tensors at the bottom are left out, a
///   quarter of the operators above the first that was trained at a time, and setting aside begins anew.
/// Every round but the few that set FLOPs aside leaves out a tensor or more, so it ends, at the latest with nothing
/// selected.
///
/// `choose(importance, ratio, cached)` selects within a ratio, with or without cached values; it throws
/// InfeasibleRatio. `price(pass)` says what a pass computes again until the next selection, in the unit of choose's
/// costs. `excess(selection, cut)`: bytes by which other phases of the fit exceed the limit while the selection is
/// held; 0 for none. `pairs`: as choose takes them.
template <class P, class Choose, class Price, class Excess>
LimitedSelection<P> select_within_memory(const TensorGraph<P>& graph, const MemoryLimit<P>& memory,
                                         const std::vector<double>& importance, double ratio, const Choose& choose,
                                         const Price& price, const Excess& excess,
                                         std::span<const ParameterPair> pairs = {}) {
  constexpr int most_reserves = 6;
  const BudgetedSelection whole = choose(std::vector<double>(importance.size(), 0.0), ratio, true);
  Candidates candidates(graph, pairs);
  std::int64_t reserve = 0;
  int reserves = 0;
  bool cached = true;
  while (true) {
    std::vector<double> worth = importance;
    for (std::size_t id = 0; id < worth.size(); ++id) {
      if (!candidates.contains(id)) worth[id] = 0;  // never chosen
    }
    LimitedSelection<P> result;
    BudgetedSelection& chosen = result.chosen;
    const double aside = static_cast<double>(reserve) / static_cast<double>(whole.full);
    bool feasible = aside < ratio;
    try {
      if (feasible) chosen = choose(worth, ratio - aside, cached);
    } catch (const InfeasibleRatio&) {
      if (reserve == 0) throw;
      feasible = false;
    }
    if (!feasible) {
      reserve = reserves = 0;
      if (!candidates.raise_bottom(0)) break;
      continue;
    }
    chosen.budget = whole.budget + whole.forward - chosen.forward;
    result.pass = memory.training(chosen.selection, chosen.cut);
    const Bytes over = std::max(memory.excess(result.pass), excess(chosen.selection, chosen.cut));
    if (over > 0 && chosen.cut) {
      cached = false;  // the cache is what can be done without
      continue;
    }
    if (chosen.selection.count() == 0) return result;
    const OperatorId first = first_trained(graph, chosen.selection);
    if (over > 0) {
      const Bytes trained = result.pass.memory.gradients + result.pass.memory.optimizer;
      const bool activations = result.pass.memory.activations > trained && memory.excess(result.pass) > 0;
      reserve = reserves = 0;
      if (!activations || !candidates.raise_bottom(first))
        leave_out(candidates, memory, chosen.selection, importance, over);
      continue;
    }
    result.recomputed = price(result.pass);
    if (result.recomputed == 0 || chosen.cost + result.recomputed <= chosen.budget) return result;
    reserve = std::max(reserve + 1, result.recomputed);
    if (++reserves <= most_reserves) continue;
    reserve = reserves = 0;
    if (!candidates.raise_bottom(first)) break;
  }
  LimitedSelection<P> nothing{.chosen = whole, .pass = {}};
  nothing.chosen.selection = select_none(graph);
  nothing.chosen.cost = 0;
  nothing.chosen.cut.reset();
  nothing.pass = memory.training(nothing.chosen.selection, std::nullopt);
  return nothing;
}

}  // namespace greentrainer
