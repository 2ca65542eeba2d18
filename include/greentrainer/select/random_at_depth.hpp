#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/gradient_dag.hpp"

namespace greentrainer {

/// A control for importances: passes gradients as deep as the exact selection does, and there draws what to train at
/// random. The distance between an importance metric's result and this control is what the metric gives beyond choosing
/// a depth.
class RandomAtDepthSelector {
 public:
  explicit RandomAtDepthSelector(std::uint64_t seed) : seed_(seed) {}

  /// One of the deepest items, drawn, then those of the greatest sum of random numbers for which the budget suffices:
  /// all among items that need no other nodes than the exact selection's. A draw follows from the seed and the problem,
  /// so that a run which is continued draws what it would have drawn. `optimal` is false. Throws ConfigError if the
  /// problem is not valid. O(items x (nodes + needs)) and the exact selection twice.
  SelectionResult select(const SelectionProblem& problem) const {
    const SelectionResult exact = ExactSelector{}.select(problem);
    const std::vector<bool> depth = closure(problem.dag, exact.mask);
    CounterRandom random(seed_, "random at depth", key_of(problem));

    SelectionProblem drawn = problem;  // gradients down to that depth are paid for
    drawn.dag.worth = {};              // random numbers add up
    std::vector<bool> mask(exact.mask.size(), false);
    if (std::find(exact.mask.begin(), exact.mask.end(), true) == exact.mask.end())
      return make_result(problem.dag, std::move(mask));
    for (std::size_t n = 0; n < depth.size(); ++n) {
      if (!depth[n]) continue;
      drawn.budget -= drawn.dag.nodes[n].cost;
      drawn.dag.nodes[n].cost = 0;
    }
    const std::vector<std::size_t> deepest = deepest_of(problem.dag, exact.mask);
    const std::size_t first = deepest[random.below(static_cast<std::uint32_t>(deepest.size()))];
    mask[first] = true;
    drawn.budget -= drawn.dag.items[first].cost;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      const double number = 1 - random.uniform();
      drawn.dag.items[i].importance = i != first && is_within(problem.dag, i, depth) ? number : -1;
    }
    const SelectionResult others = ExactSelector{}.select(drawn);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = mask[i] || others.mask[i];
    return make_result(problem.dag, std::move(mask));
  }

 private:
  static std::vector<bool> needed_by(const GradientDag& dag, std::size_t item) {
    std::vector<bool> alone(dag.items.size(), false);
    alone[item] = true;
    return closure(dag, alone);
  }
  static bool is_within(const GradientDag& dag, std::size_t item, const std::vector<bool>& nodes) {
    const std::vector<bool> needed = needed_by(dag, item);
    for (std::size_t n = 0; n < needed.size(); ++n) {
      if (needed[n] && !nodes[n]) return false;
    }
    return true;
  }
  /// The items of the mask that need the most nodes.
  static std::vector<std::size_t> deepest_of(const GradientDag& dag, const std::vector<bool>& mask) {
    std::vector<std::size_t> deepest;
    std::ptrdiff_t most = -1;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (!mask[i]) continue;
      const std::vector<bool> needed = needed_by(dag, i);
      const auto count = std::count(needed.begin(), needed.end(), true);
      if (count > most) deepest.clear();
      if (count >= most) deepest.push_back(i);
      most = std::max(most, count);
    }
    return deepest;
  }

  /// Differs for problems of other importances, such as those of later selections.
  static std::uint64_t key_of(const SelectionProblem& problem) {
    auto key = static_cast<std::uint64_t>(problem.budget);
    for (const auto& item : problem.dag.items)
      key = std::rotl((key ^ std::bit_cast<std::uint64_t>(item.importance)) * 0x9fb21c651e98df25U, 29);
    return key;
  }

  std::uint64_t seed_;
};

}  // namespace greentrainer
