#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

namespace select_detail {

inline void check_needs(const std::vector<int>& needs, std::size_t limit, const char* kind, std::size_t number) {
  for (const int need : needs) {
    if (need < 0 || static_cast<std::size_t>(need) >= limit) {
      throw ConfigError("gradient_dag", text(kind, " ", number),
                        text("expected needs in [0, ", limit, "), got ", need, "; a node's needs come before it"));
    }
  }
}

inline std::int64_t checked_sum(std::int64_t sum, std::int64_t cost, const char* kind, std::size_t number) {
  if (cost < 0)
    throw ConfigError("gradient_dag", text(kind, " ", number), text("expected a cost of 0 or more, got ", cost));
  if (cost > std::numeric_limits<std::int64_t>::max() - sum) {
    throw ConfigError("gradient_dag", text(kind, " ", number),
                      "expected costs that sum to less than 2^63, got more; use a larger unit");
  }
  return sum + cost;
}

}  // namespace select_detail

/// Checks what every function on a GradientDag relies on: nodes in topological order (needs have smaller numbers),
/// needs of items within range, costs of 0 or more whose sum fits into 63 bits, importances that are numbers. Throws
/// ConfigError naming the node or item. O(nodes + items + needs).
inline void validate(const GradientDag& dag) {
  std::int64_t sum = 0;
  for (std::size_t n = 0; n < dag.nodes.size(); ++n) {
    select_detail::check_needs(dag.nodes[n].needs, n, "node", n);
    sum = select_detail::checked_sum(sum, dag.nodes[n].cost, "node", n);
  }
  for (std::size_t i = 0; i < dag.items.size(); ++i) {
    select_detail::check_needs(dag.items[i].needs, dag.nodes.size(), "item", i);
    sum = select_detail::checked_sum(sum, dag.items[i].cost, "item", i);
    if (!std::isfinite(dag.items[i].importance)) {
      throw ConfigError("gradient_dag", text("item ", i),
                        text("expected a finite importance, got ", dag.items[i].importance));
    }
    if (dag.items[i].block < -1) {
      throw ConfigError("gradient_dag", text("item ", i),
                        text("expected a block of 0 or more, or -1 for one of its own, got ", dag.items[i].block));
    }
  }
  if (dag.worth.form == Worth::Form::saturating && !(std::isfinite(dag.worth.scale) && dag.worth.scale > 0)) {
    throw ConfigError("gradient_dag", "worth",
                      text("expected a finite scale above 0 where worth saturates, got ", dag.worth.scale));
  }
}

/// As above, and a budget of 0 or more.
inline void validate(const SelectionProblem& problem) {
  validate(problem.dag);
  if (problem.budget < 0)
    throw ConfigError("selection_problem", "budget", text("expected 0 or more, got ", problem.budget));
}

/// The nodes that the items of `mask` (one entry an item) need, directly or not; one entry a node. Requires a valid
/// DAG; throws ConfigError if the mask has another length. O(nodes + items + needs).
inline std::vector<bool> closure(const GradientDag& dag, const std::vector<bool>& mask) {
  if (mask.size() != dag.items.size()) {
    throw ConfigError("gradient_dag", "mask", text("expected ", dag.items.size(), " entries, got ", mask.size()));
  }
  std::vector<bool> needed(dag.nodes.size(), false);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (!mask[i]) continue;
    for (const int need : dag.items[i].needs) needed[static_cast<std::size_t>(need)] = true;
  }
  for (std::size_t n = dag.nodes.size(); n-- > 0;) {
    if (!needed[n]) continue;
    for (const int need : dag.nodes[n].needs) needed[static_cast<std::size_t>(need)] = true;
  }
  return needed;
}

/// True cost of training the items of `mask`, in the DAG's unit: the items and their closure, shared nodes counted
/// once. As closure() otherwise.
inline std::int64_t cost_of(const GradientDag& dag, const std::vector<bool>& mask) {
  const std::vector<bool> needed = closure(dag, mask);
  std::int64_t cost = 0;
  for (std::size_t n = 0; n < needed.size(); ++n) {
    if (needed[n]) cost += dag.nodes[n].cost;
  }
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i]) cost += dag.items[i].cost;
  }
  return cost;
}

/// The true cost of the item that costs least alone, of those that are not frozen; the largest number, where all are
/// frozen. About O(nodes + items + needs): items are tried in the order of what their dearest path costs, until no
/// other can be cheaper. Requires a valid DAG with at least one item.
inline std::int64_t cheapest_item(const GradientDag& dag) {
  std::vector<std::int64_t> path(dag.nodes.size());
  const auto dearest = [&](const std::vector<int>& needs) {
    std::int64_t most = 0;
    for (const int need : needs) most = std::max(most, path[static_cast<std::size_t>(need)]);
    return most;
  };
  for (std::size_t n = 0; n < dag.nodes.size(); ++n) path[n] = dag.nodes[n].cost + dearest(dag.nodes[n].needs);
  std::vector<std::pair<std::int64_t, std::size_t>> at_least;
  for (std::size_t i = 0; i < dag.items.size(); ++i) {
    if (!dag.items[i].frozen) at_least.emplace_back(dag.items[i].cost + dearest(dag.items[i].needs), i);
  }
  std::sort(at_least.begin(), at_least.end());
  std::int64_t cheapest = std::numeric_limits<std::int64_t>::max();
  for (const auto& [bound, item] : at_least) {
    if (bound >= cheapest) break;
    std::vector<bool> alone(dag.items.size(), false);
    alone[item] = true;
    cheapest = std::min(cheapest, cost_of(dag, alone));
  }
  return cheapest;
}

/// Sum of the importances of the items of `mask`, or of the worth of their blocks where it is not additive. Throws
/// ConfigError if the mask has another length than the items.
inline double importance_of(const GradientDag& dag, const std::vector<bool>& mask) {
  if (mask.size() != dag.items.size()) {
    throw ConfigError("gradient_dag", "mask", text("expected ", dag.items.size(), " entries, got ", mask.size()));
  }
  double sum = 0;
  if (dag.worth.is_additive()) {
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (mask[i]) sum += dag.items[i].importance;
    }
    return sum;
  }
  std::map<int, double> blocks;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (!mask[i]) continue;
    if (dag.items[i].block < 0)
      sum += dag.worth.of(dag.items[i].importance);
    else
      blocks[dag.items[i].block] += dag.items[i].importance;
  }
  for (const auto& [block, importance] : blocks) sum += dag.worth.of(importance);
  return sum;
}

/// The result for `mask`: its importance and true cost, and what is known of all others; not optimal.
inline SelectionResult make_result(const GradientDag& dag, std::vector<bool> mask,
                                   double bound = std::numeric_limits<double>::infinity()) {
  SelectionResult result;
  result.importance = importance_of(dag, mask);
  result.cost = cost_of(dag, mask);
  result.mask = std::move(mask);
  result.bound = std::max(bound, result.importance);
  return result;
}

/// The result for a `mask` that is proved to be the best.
inline SelectionResult make_optimal_result(const GradientDag& dag, std::vector<bool> mask) {
  SelectionResult result = make_result(dag, std::move(mask), 0);
  result.optimal = true;
  result.bound = result.importance;
  return result;
}

}  // namespace greentrainer
