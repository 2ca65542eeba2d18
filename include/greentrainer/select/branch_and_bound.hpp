#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "greentrainer/select/exact_knapsack.hpp"
#include "greentrainer/select/reduced_problem.hpp"

namespace greentrainer::select_detail {

/// Depth-first search over which classes are computed, for gradient DAGs that have no stages to work along (in general
/// the problem is strongly NP-hard). The bound spreads each undecided class's cost over the groups that need it, in
/// proportion to their importance, and fills the budget by importance per cost: no selection can pay less than that.
/// With all classes decided, an exact knapsack remains.
class BranchAndBound {
 public:
  /// Requires `problem` to outlive this object. Gives up after `max_nodes` nodes of the search tree, each O(items log
  /// items + needs).
  BranchAndBound(const ReducedProblem& problem, std::size_t max_nodes)
      : problem_(problem), nodes_left_(max_nodes), steps_left_(1000 * max_nodes) {
    for (const auto& group : problem.groups) {
      double sum = 0;
      for (const auto& item : group.items) sum += item.importance;
      importance_.push_back(sum);
    }
    status_.assign(problem.classes.size(), undecided);
    blocked_.assign(problem.groups.size(), 0);
  }

  /// Looks for a selection worth more than `incumbent`; true if there is one, then chosen() is it.
  bool improve(double incumbent) {
    incumbent_ = incumbent;
    open_ = 0;
    better_ = false;
    complete_ = true;
    search(problem_.budget);
    return better_;
  }

  /// Original numbers of the best items that improve() found.
  const std::vector<int>& chosen() const { return chosen_; }
  /// Whether improve() looked at everything, so that the better of its incumbent and its result is optimal.
  bool complete() const { return complete_; }
  /// No selection is worth more than this or the better of incumbent and result, whichever is more.
  double bound() const { return open_; }

 private:
  enum Status : char { undecided, in, out };
  struct Priced {
    double cost;
    double importance;
  };

  bool promising(double bound) const { return bound > incumbent_ * (1 + importance_tolerance); }

  void search(std::int64_t room) {
    // Importance within reach behind each undecided class: the shares of its cost, and which class to decide next.
    std::vector<double> behind(problem_.classes.size(), 0);
    int next = -1;
    for (std::size_t g = 0; g < problem_.groups.size(); ++g) {
      if (blocked_[g] != 0) continue;
      for (const int c : problem_.groups[g].classes) {
        const auto number = static_cast<std::size_t>(c);
        if (status_[number] != undecided) continue;
        behind[number] += importance_[g];
        if (next < 0 || behind[number] > behind[static_cast<std::size_t>(next)]) next = c;
      }
    }
    const double within_reach = bound(room, behind);
    if (!promising(within_reach)) return;
    if (nodes_left_ == 0 || (next < 0 && !finish(room))) {
      complete_ = false;
      open_ = std::max(open_, within_reach);
      return;
    }
    --nodes_left_;
    if (next < 0) return;
    const auto number = static_cast<std::size_t>(next);
    const auto& decided = problem_.classes[number];
    if (decided.cost <= room) {
      status_[number] = in;
      search(room - decided.cost);
    }
    status_[number] = out;
    decided.users.for_each([&](std::size_t g) { ++blocked_[g]; });
    search(room);
    decided.users.for_each([&](std::size_t g) { --blocked_[g]; });
    status_[number] = undecided;
  }

  double bound(std::int64_t room, const std::vector<double>& behind) const {
    std::vector<Priced> priced;
    for (std::size_t g = 0; g < problem_.groups.size(); ++g) {
      if (blocked_[g] != 0) continue;
      double share = 0;  // cost of undecided classes for each unit of importance
      for (const int c : problem_.groups[g].classes) {
        const auto number = static_cast<std::size_t>(c);
        if (status_[number] == undecided) share += static_cast<double>(problem_.classes[number].cost) / behind[number];
      }
      for (const auto& item : problem_.groups[g].items) {
        priced.push_back({static_cast<double>(item.cost) + share * item.importance, item.importance});
      }
    }
    std::sort(priced.begin(), priced.end(),
              [](const Priced& a, const Priced& b) { return a.importance * b.cost > b.importance * a.cost; });
    double left = static_cast<double>(room);
    double value = 0;
    for (const Priced& item : priced) {
      if (item.cost > left) {
        value += item.importance * left / item.cost;
        break;
      }
      value += item.importance;
      left -= item.cost;
    }
    return value * (1 + 1e-9);  // costs are rounded to doubles here
  }

  /// With all classes decided; whether all choices were looked at.
  bool finish(std::int64_t room) {
    std::vector<ReducedProblem::Item> available;
    for (std::size_t g = 0; g < problem_.groups.size(); ++g) {
      if (blocked_[g] == 0)
        available.insert(available.end(), problem_.groups[g].items.begin(), problem_.groups[g].items.end());
    }
    ExactKnapsack knapsack(std::move(available), room);
    const bool improved = knapsack.improve(incumbent_, steps_left_);
    steps_left_ -= std::min(steps_left_, knapsack.steps());
    if (improved) {
      chosen_ = knapsack.chosen();
      incumbent_ = 0;
      const std::vector<bool> mask = problem_.mask(chosen_);
      for (const auto& group : problem_.groups) {
        for (const auto& item : group.items)
          incumbent_ += mask[static_cast<std::size_t>(item.number)] ? item.importance : 0;
      }
      better_ = true;
    }
    return knapsack.complete();
  }

  const ReducedProblem& problem_;
  std::size_t nodes_left_;
  std::size_t steps_left_;          // of the knapsacks
  std::vector<double> importance_;  // of each group
  std::vector<Status> status_;      // of each class
  std::vector<int> blocked_;        // for each group, how many of its classes are out
  double incumbent_ = 0;
  double open_ = 0;  // the most that may be worth what was not looked at
  std::vector<int> chosen_;
  bool better_ = false;
  bool complete_ = true;
};

}  // namespace greentrainer::select_detail
