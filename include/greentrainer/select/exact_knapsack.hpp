#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "greentrainer/select/reduced_problem.hpp"

namespace greentrainer::select_detail {

/// 0/1 knapsack with exact costs, by branch and bound in the order of importance per cost (Horowitz and Sahni 1974).
/// Instances as they come from real costs are solved in few steps; others are cut off.
class ExactKnapsack {
 public:
  using Item = ReducedProblem::Item;

  /// Items all of positive importance; capacity of 0 or more.
  ExactKnapsack(std::vector<Item> items, std::int64_t capacity) : items_(std::move(items)), capacity_(capacity) {
    std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
      return a.importance * static_cast<double>(b.cost) > b.importance * static_cast<double>(a.cost);
    });
  }

  /// Looks for a choice worth more than `incumbent`; true if there is one, then chosen() is it. Gives up after
  /// `max_steps`. O(max_steps).
  bool improve(double incumbent, std::size_t max_steps) {
    const std::size_t n = items_.size();
    std::vector<std::size_t> taken;
    double value = 0;
    std::int64_t room = capacity_;
    bool better = false;
    complete_ = false;
    std::size_t& step = steps_;
    step = 0;
    std::size_t next = 0;
    while (true) {
      if (next < n && bound(next, value, room, step) > incumbent * (1 + importance_tolerance)) {
        // Take what fits in a row, as the bound did, then leave out the first that does not.
        for (; next < n && items_[next].cost <= room; ++next, ++step) {
          taken.push_back(next);
          value += items_[next].importance;
          room -= items_[next].cost;
        }
        if (value > incumbent * (1 + importance_tolerance)) {
          incumbent = value;
          better = true;
          chosen_.clear();
          for (const std::size_t i : taken) chosen_.push_back(items_[i].number);
        }
        ++next;
        if (step > max_steps) return better;
        continue;
      }
      if (taken.empty()) break;
      next = taken.back() + 1;
      value -= items_[taken.back()].importance;
      room += items_[taken.back()].cost;
      taken.pop_back();
      if (++step > max_steps) return better;
    }
    complete_ = true;
    return better;
  }

  /// Original numbers of the best items that the last improve() found.
  const std::vector<int>& chosen() const { return chosen_; }
  /// Whether the last improve() looked at everything.
  bool complete() const { return complete_; }
  /// What the last improve() took, in the unit of its limit.
  std::size_t steps() const { return steps_; }

 private:
  /// Dantzig's bound: the rest by importance per cost, the last one in part.
  double bound(std::size_t next, double value, std::int64_t room, std::size_t& step) const {
    for (; next < items_.size(); ++next, ++step) {
      const Item& item = items_[next];
      if (item.cost > room) return value + item.importance * static_cast<double>(room) / static_cast<double>(item.cost);
      value += item.importance;
      room -= item.cost;
    }
    return value;
  }

  std::vector<Item> items_;
  std::int64_t capacity_;
  std::vector<int> chosen_;
  bool complete_ = false;
  std::size_t steps_ = 0;
};

}  // namespace greentrainer::select_detail
