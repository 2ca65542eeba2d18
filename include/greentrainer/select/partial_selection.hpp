#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "greentrainer/select/exact_knapsack.hpp"
#include "greentrainer/select/reduced_problem.hpp"

namespace greentrainer::select_detail {

/// A selection that is being built on a reduced problem, with its exact cost.
class PartialSelection {
 public:
  /// Nothing selected. Requires `problem` to outlive this object. O(groups x classes).
  explicit PartialSelection(const ReducedProblem& problem)
      : problem_(&problem),
        paid_(problem.classes.size(), 0),
        room_(problem.budget),
        selected_(problem.groups.size()),
        sums_(problem.block_count, 0.0) {
    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      unpaid_.push_back(problem.groups[g].class_cost);
      selected_[g].resize(problem.groups[g].items.size(), 0);
    }
  }

  /// Items by their original numbers. Requires that they fit into the budget together. O(items + groups x classes).
  PartialSelection(const ReducedProblem& problem, const std::vector<int>& item_numbers) : PartialSelection(problem) {
    const std::vector<bool> mask = problem.mask(item_numbers);
    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      const auto& group = problem.groups[g];
      bool any = false;
      for (std::size_t i = 0; i < group.items.size(); ++i) {
        if (!mask[static_cast<std::size_t>(group.items[i].number)]) continue;
        any = true;
        selected_[g][i] = 1;
        room_ -= group.items[i].cost;
        take_importance(group.items[i]);
      }
      if (!any) continue;
      for (const int c : group.classes) paid_[static_cast<std::size_t>(c)] = 1;
    }
    // All at once: item by item, as add() does it, would go through the groups again for every class.
    std::vector<std::int64_t> open(paid_.size());
    for (std::size_t c = 0; c < paid_.size(); ++c) {
      if (paid_[c] != 0) room_ -= problem.classes[c].cost;
      open[c] = paid_[c] != 0 ? 0 : problem.classes[c].cost;
    }
    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      unpaid_[g] = 0;
      for (const int c : problem.groups[g].classes) unpaid_[g] += open[static_cast<std::size_t>(c)];
    }
  }

  double importance() const { return importance_; }
  std::int64_t room() const { return room_; }

  std::vector<int> items() const {
    std::vector<int> numbers;
    for (std::size_t g = 0; g < selected_.size(); ++g) {
      for (std::size_t i = 0; i < selected_[g].size(); ++i) {
        if (selected_[g][i] != 0) numbers.push_back(problem_->groups[g].items[i].number);
      }
    }
    return numbers;
  }

  /// Selects item `i` of group `g` and pays for the classes it lacks.
  void add(std::size_t g, std::size_t i) {
    const auto& group = problem_->groups[g];
    for (const int c : group.classes) {
      const auto number = static_cast<std::size_t>(c);
      if (paid_[number] != 0) continue;
      paid_[number] = 1;
      const auto& paid = problem_->classes[number];
      room_ -= paid.cost;
      paid.users.for_each([&](std::size_t user) { unpaid_[user] -= paid.cost; });
    }
    selected_[g][i] = 1;
    room_ -= group.items[i].cost;
    take_importance(group.items[i]);
  }

  /// Adds the item of the greatest additional worth per additional cost, the classes it lacks included, until nothing
  /// fits any more. O(items^2). Afterwards no single item fits into what is left. Returns whether anything was added.
  bool fill_greedily() {
    bool added = false;
    while (true) {
      std::size_t best_group = problem_->groups.size();
      std::size_t best_item = 0;
      double best_importance = 0;
      std::int64_t best_cost = 0;
      for (std::size_t g = 0; g < problem_->groups.size(); ++g) {
        if (unpaid_[g] > room_) continue;
        for (std::size_t i = 0; i < selected_[g].size(); ++i) {
          const auto& item = problem_->groups[g].items[i];
          const std::int64_t cost = unpaid_[g] + item.cost;
          if (selected_[g][i] != 0 || cost > room_) continue;
          const double importance = gain(item);
          const bool better = importance * static_cast<double>(best_cost) > best_importance * static_cast<double>(cost);
          if (best_group == problem_->groups.size() || better) {
            best_group = g;
            best_item = i;
            best_importance = importance;
            best_cost = cost;
          }
        }
      }
      if (best_group == problem_->groups.size()) return added;
      add(best_group, best_item);
      added = true;
    }
  }

  /// Selects anew among the items whose classes are paid for: the exact knapsack, as far as `max_steps` go. Returns
  /// whether that was better. Requires additive worth.
  bool choose_again(std::size_t max_steps) {
    std::vector<ReducedProblem::Item> available;
    std::int64_t capacity = room_;
    for (std::size_t g = 0; g < problem_->groups.size(); ++g) {
      if (unpaid_[g] != 0) continue;
      for (std::size_t i = 0; i < selected_[g].size(); ++i) {
        available.push_back(problem_->groups[g].items[i]);
        if (selected_[g][i] != 0) capacity += problem_->groups[g].items[i].cost;
      }
    }
    ExactKnapsack knapsack(std::move(available), capacity);
    if (!knapsack.improve(importance_, max_steps)) return false;
    *this = PartialSelection(*problem_, knapsack.chosen());
    return true;
  }

 private:
  /// What choosing an item adds to what is chosen.
  double gain(const ReducedProblem::Item& item) const {
    if (sums_.empty()) return item.importance;
    const double sum = sums_[static_cast<std::size_t>(item.block)];
    return problem_->worth.of(sum + item.importance) - problem_->worth.of(sum);
  }
  void take_importance(const ReducedProblem::Item& item) {
    importance_ += gain(item);
    if (!sums_.empty()) sums_[static_cast<std::size_t>(item.block)] += item.importance;
  }

  const ReducedProblem* problem_;
  std::vector<char> paid_;                   // classes
  std::vector<std::int64_t> unpaid_;         // for each group, cost of the classes it lacks
  std::int64_t room_;                        // budget that is left
  std::vector<std::vector<char>> selected_;  // for each group and item
  std::vector<double> sums_;                 // of importances, for each block; empty where worth is additive
  double importance_ = 0;
};

}  // namespace greentrainer::select_detail
