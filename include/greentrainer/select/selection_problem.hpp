#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "greentrainer/select/worth.hpp"

namespace greentrainer {

/// The part of a backward pass that a choice of trained parameters switches on, as a directed acyclic graph with costs.
/// Nodes are pieces of activation gradients; an item is a parameter, trainable once all nodes it needs are computed.
struct GradientDag {
  /// One piece of an activation gradient (a matrix product, say).
  struct Node {
    std::int64_t cost = 0;        ///< the paper's t_dy, in the cost model's unit
    std::vector<int> needs = {};  ///< nodes that must be computed before; each has a smaller number

    bool operator==(const Node&) const = default;
  };
  /// One parameter. Used in several places it is still one item: its cost is their sum, and it needs the nodes of all.
  struct Item {
    std::int64_t cost = 0;  ///< the paper's t_dw
    double importance = 0;  ///< the paper's I; what training this parameter is worth
    std::vector<int> needs = {};
    bool frozen = false;  ///< must not be chosen, whatever it is worth
    int block = -1;       ///< of the parameters that are worth something together, see `worth`; -1: one of its own

    bool operator==(const Item&) const = default;
  };
  std::vector<Node> nodes = {};
  std::vector<Item> items = {};
  Worth worth = {};  ///< of each block, by the sum of what is chosen of it

  bool operator==(const GradientDag&) const = default;
};

/// Choose items of the greatest total importance, or worth, such that the items and all nodes they need, directly or
/// not, cost at most `budget`.
struct SelectionProblem {
  GradientDag dag = {};
  std::int64_t budget = 0;
};

/// Sums of importances differ in their last digits with the order of summation; less than this share is no improvement.
inline constexpr double importance_tolerance = 1e-12;

/// A choice and what is known about it.
struct SelectionResult {
  std::vector<bool> mask = {};  ///< one entry an item
  double importance = 0;        ///< sum over the mask; where worth is not additive, sum of the blocks' worth
  std::int64_t cost = 0;        ///< true cost of the mask, shared nodes counted once
  bool optimal = false;         ///< proved: no choice is worth more at the costs as given (see importance_tolerance)
  /// Proved likewise: no choice is worth more than this. Infinite where nothing is known.
  double bound = std::numeric_limits<double>::infinity();
};

/// The share by which another choice may be worth more; 0 if it is optimal, infinite where nothing is known.
inline double gap_of(const SelectionResult& result) {
  if (result.optimal || result.bound <= result.importance) return 0;
  return result.importance > 0 ? result.bound / result.importance - 1 : std::numeric_limits<double>::infinity();
}

}  // namespace greentrainer
