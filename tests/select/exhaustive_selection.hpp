#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer::testing {

/// What a block is worth by the sum of the importances chosen of it; empty: the sum.
using WorthFunction = std::function<double(double)>;

/// Every subset of a small problem's items, priced without any of the library's code: the reference for selectors.
class ExhaustiveSelection {
 public:
  explicit ExhaustiveSelection(const GradientDag& dag, const WorthFunction& worth = {}) {
    std::vector<std::uint64_t> needs_of_node(dag.nodes.size());
    const auto gather = [&](const std::vector<int>& needs) {
      std::uint64_t nodes = 0;
      for (const int need : needs) nodes |= needs_of_node[static_cast<std::size_t>(need)] | (std::uint64_t{1} << need);
      return nodes;
    };
    for (std::size_t n = 0; n < dag.nodes.size(); ++n) needs_of_node[n] = gather(dag.nodes[n].needs);
    std::vector<std::uint64_t> needs_of_item;
    for (const auto& item : dag.items) needs_of_item.push_back(gather(item.needs));

    const std::size_t subsets = std::size_t{1} << dag.items.size();
    for (std::size_t subset = 0; subset < subsets; ++subset) {
      Subset priced;
      std::uint64_t nodes = 0;
      for (std::size_t i = 0; i < dag.items.size(); ++i) {
        if (((subset >> i) & 1U) == 0) continue;
        nodes |= needs_of_item[i];
        priced.cost += dag.items[i].cost;
        priced.importance += dag.items[i].importance;
        ++priced.size;
      }
      for (std::size_t n = 0; n < dag.nodes.size(); ++n) {
        if (((nodes >> n) & 1U) != 0) priced.cost += dag.nodes[n].cost;
      }
      if (worth && subset != 0) {  // of the block of the first item, and of all others, which are worth what is known
        const int first = std::countr_zero(subset);
        std::size_t others = subset;
        double sum = 0;
        for (std::size_t i = 0; i < dag.items.size(); ++i) {
          const bool together =
              dag.items[i].block >= 0 && dag.items[i].block == dag.items[static_cast<std::size_t>(first)].block;
          if (((subset >> i) & 1U) == 0 || !(together || static_cast<int>(i) == first)) continue;
          others &= ~(std::size_t{1} << i);
          sum += dag.items[i].importance;
        }
        priced.importance = subsets_[others].importance + (sum > 0 ? worth(sum) : sum);
      }
      subsets_.push_back(priced);
    }
  }

  /// The best importance of any subset within the budget, when every item costs `surcharge` on top.
  double best(std::int64_t budget, double surcharge = 0) const {
    double best = 0;
    for (const Subset& subset : subsets_) {
      if (static_cast<double>(subset.cost) + surcharge * subset.size <= static_cast<double>(budget))
        best = std::max(best, subset.importance);
    }
    return best;
  }

  struct Subset {
    std::int64_t cost = 0;
    double importance = 0;
    int size = 0;
  };
  const Subset& of(const std::vector<bool>& mask) const {
    std::size_t number = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) number |= std::size_t{mask[i]} << i;
    return subsets_[number];
  }

 private:
  std::vector<Subset> subsets_;
};

/// What is wrong with a result, empty if nothing: the checks that every selector's result must pass on a small problem.
inline std::string fault(const SelectionProblem& problem, const ExhaustiveSelection& all, const SelectionResult& result,
                         bool best_expected) {
  if (result.mask.size() != problem.dag.items.size()) return "mask of the wrong length";
  const auto& chosen = all.of(result.mask);
  if (chosen.cost != result.cost) return "reports another cost than it has";
  if (std::abs(chosen.importance - result.importance) > 1e-9) return "reports another importance than it has";
  if (chosen.cost > problem.budget) return "above the budget";
  for (std::size_t i = 0; i < result.mask.size(); ++i) {
    if (result.mask[i] && problem.dag.items[i].importance <= 0) return "chose an item that is worth nothing";
  }
  const double best = all.best(problem.budget);
  if (result.bound < best - 1e-9) return "claims that nothing is worth what something is";
  if (result.optimal && result.bound != result.importance) return "optimal, but bounded by something else";
  if (result.optimal && chosen.importance < best - 1e-9) return "claims to be the best, which it is not";
  if (best_expected && chosen.importance < best - 1e-9) return "not the best";
  return "";
}

}  // namespace greentrainer::testing
