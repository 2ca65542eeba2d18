#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "greentrainer/select/bit_set.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer::select_detail {

/// A selection problem without what cannot change the result. The selectors work on it.
/// - Items that are frozen, never worth choosing (importance of 0 or less) or that do not fit into the budget even
/// alone are gone.
/// - Nodes are needed only for the items behind them, so nodes behind which lie the same items are computed together or
/// not at all: they
///   become one *class*. That contracts chains of nodes without items between, siblings that always go together (the
///   input gradients of q, k and v before the norm), and whole encoders' worth of cross-attention gradients. Nodes that
///   cost nothing are gone.
/// - Items that need the same classes form a *group*.
/// An item may be chosen once all classes of its group are paid for; the order among classes follows by itself.
struct ReducedProblem {
  struct Item {
    int number = 0;  ///< in the original problem
    int block = 0;   ///< whose worth it adds to; below block_count
    std::int64_t cost = 0;
    double importance = 0;
  };
  struct Group {
    std::vector<Item> items;
    std::vector<int> classes;  ///< what its items need; ascending
    std::int64_t class_cost = 0;
  };
  struct Class {
    std::int64_t cost = 0;
    BitSet users;        ///< the groups that need it
    int first_node = 0;  ///< smallest and largest original number of its nodes
    int last_node = 0;
  };
  std::vector<Class> classes;
  std::vector<Group> groups;
  std::int64_t budget = 0;
  std::size_t item_count = 0;  ///< of the original problem
  Worth worth;
  std::size_t block_count = 0;  ///< where worth is not additive

  std::vector<bool> mask(const std::vector<int>& item_numbers) const {
    std::vector<bool> chosen(item_count, false);
    for (const int number : item_numbers) chosen[static_cast<std::size_t>(number)] = true;
    return chosen;
  }
};

/// Reduces a problem; throws ConfigError if it is not valid. O((nodes + needs) x items / 64 + nodes x items).
inline ReducedProblem reduce(const SelectionProblem& problem) {
  validate(problem);
  const auto& nodes = problem.dag.nodes;
  ReducedProblem reduced;
  reduced.budget = problem.budget;
  reduced.item_count = problem.dag.items.size();

  std::vector<ReducedProblem::Item> items;
  for (std::size_t i = 0; i < problem.dag.items.size(); ++i) {
    const auto& item = problem.dag.items[i];
    if (!item.frozen && item.importance > 0 && item.cost <= problem.budget)
      items.push_back({static_cast<int>(i), 0, item.cost, item.importance});
  }
  reduced.worth = problem.dag.worth;
  if (!reduced.worth.is_additive()) {
    std::unordered_map<int, std::size_t> blocks;
    for (auto& item : items) {
      const int block = problem.dag.items[static_cast<std::size_t>(item.number)].block;
      const auto own = block < 0 ? reduced.block_count : blocks.try_emplace(block, reduced.block_count).first->second;
      item.block = static_cast<int>(own);
      reduced.block_count = std::max(reduced.block_count, own + 1);
    }
  }

  // For each node, the items behind it.
  std::vector<BitSet> behind(nodes.size(), BitSet(items.size()));
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (const int need : problem.dag.items[static_cast<std::size_t>(items[i].number)].needs)
      behind[static_cast<std::size_t>(need)].insert(i);
  }
  for (std::size_t n = nodes.size(); n-- > 0;) {
    for (const int need : nodes[n].needs) behind[static_cast<std::size_t>(need)] |= behind[n];
  }

  std::vector<std::int64_t> closure_cost(items.size(), 0);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    if (nodes[n].cost != 0) behind[n].for_each([&](std::size_t i) { closure_cost[i] += nodes[n].cost; });
  }
  BitSet affordable(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (closure_cost[i] + items[i].cost <= problem.budget) affordable.insert(i);
  }

  std::unordered_map<BitSet, std::size_t, BitSetHash> class_of;
  std::vector<BitSet> class_items;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    behind[n] &= affordable;
    if (nodes[n].cost == 0 || behind[n].empty()) continue;
    const auto [entry, added] = class_of.try_emplace(behind[n], reduced.classes.size());
    if (added) {
      class_items.push_back(behind[n]);
      reduced.classes.push_back({0, BitSet(), static_cast<int>(n), static_cast<int>(n)});
    }
    reduced.classes[entry->second].cost += nodes[n].cost;
    reduced.classes[entry->second].last_node = static_cast<int>(n);
  }

  std::vector<BitSet> needs(items.size(), BitSet(reduced.classes.size()));
  for (std::size_t c = 0; c < class_items.size(); ++c) {
    class_items[c].for_each([&](std::size_t i) { needs[i].insert(c); });
  }
  std::unordered_map<BitSet, std::size_t, BitSetHash> group_of;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!affordable.contains(i)) continue;
    const auto [entry, added] = group_of.try_emplace(needs[i], reduced.groups.size());
    if (added) {
      ReducedProblem::Group group;
      needs[i].for_each([&](std::size_t c) { group.classes.push_back(static_cast<int>(c)); });
      group.class_cost = closure_cost[i];
      reduced.groups.push_back(std::move(group));
    }
    reduced.groups[entry->second].items.push_back(items[i]);
  }
  for (auto& node_class : reduced.classes) node_class.users = BitSet(reduced.groups.size());
  for (std::size_t g = 0; g < reduced.groups.size(); ++g) {
    for (const int c : reduced.groups[g].classes) reduced.classes[static_cast<std::size_t>(c)].users.insert(g);
  }
  return reduced;
}

}  // namespace greentrainer::select_detail
