#pragma once

#include <cstdint>
#include <vector>

namespace greentrainer {

/// The part of a backward pass that a choice of trained parameters switches on, as a directed acyclic graph with costs.
/// Nodes are pieces of activation gradients; an item is a parameter, trainable once all nodes it needs are computed.
struct GradientDag {
  /// One piece of an activation gradient (a matrix product, say).
  struct Node {
    std::int64_t cost = 0;        ///< the paper's t_dy, in the cost model's unit
    std::vector<int> needs = {};  ///< nodes that must be computed before; each has a smaller number
  };
  /// One parameter. Used in several places it is still one item: its cost is their sum, and it needs the nodes of all.
  struct Item {
    std::int64_t cost = 0;  ///< the paper's t_dw
    double importance = 0;  ///< the paper's I; what training this parameter is worth
    std::vector<int> needs = {};
  };
  std::vector<Node> nodes = {};
  std::vector<Item> items = {};
};

/// Choose items of the greatest total importance such that the items and all nodes they need, directly or not, cost at
/// most `budget`.
struct SelectionProblem {
  GradientDag dag = {};
  std::int64_t budget = 0;
};

/// A choice and what is known about it.
struct SelectionResult {
  std::vector<bool> mask = {};  ///< one entry an item
  double importance = 0;        ///< sum over the mask
  std::int64_t cost = 0;        ///< true cost of the mask, shared nodes counted once
  bool optimal = false;         ///< proved to be the best at the resolution of the budget steps
};

}  // namespace greentrainer
