#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greentrainer/select/block_diagram.hpp"
#include "greentrainer/select/end_search.hpp"
#include "greentrainer/select/reduced_problem.hpp"

namespace greentrainer::select_detail {

/// EndSearch along a block diagram: the best selection where blocks have a concave worth. See
/// docs/decisions/0038-concave-worths.md.
class BlockSearch : public EndSearch<BlockSearch> {
 public:
  /// Requires `diagram` to outlive this object. `thin`: of pairs whose costs lie within the same so many units, only
  /// the best is kept, so that what is found is good, and nothing is proved; 0: all that matter.
  BlockSearch(const ReducedProblem& problem, const BlockDiagram& diagram, std::int64_t thin = 0)
      : diagram_(diagram), thin_(thin) {
    budget_ = problem.budget;
    std::vector<double> sums(problem.block_count);
    std::size_t items = 0;
    for (const auto& group : problem.groups) {
      items += group.items.size();
      for (const auto& item : group.items) sums[static_cast<std::size_t>(item.block)] += item.importance;
    }
    for (const double sum : sums) total_ += problem.worth.of(sum);
    terms_ = static_cast<double>(items + diagram_.nodes.size() + 16);
    std::vector<int> ends;
    for (std::size_t n = 0; n < diagram_.nodes.size(); ++n) {
      if (diagram_.nodes[n].ends) ends.push_back(static_cast<int>(n));
      for (const auto& arc : diagram_.nodes[n].arcs) find_highest(arc);
    }
    bound_ends(ends);
  }

  /// Original numbers of the items that improve() found.
  std::vector<int> chosen() const {
    std::vector<int> items;
    for (const int option : chosen_) {
      for (int t = option; t != 0; t = diagram_.taken[static_cast<std::size_t>(t)].before)
        items.push_back(diagram_.taken[static_cast<std::size_t>(t)].item);
    }
    return items;
  }

 private:
  friend class EndSearch<BlockSearch>;
  using Arc = BlockDiagram::Arc;
  using Option = BlockDiagram::Option;

  /// The most that more of an arc's cost brings for a unit.
  void find_highest(const Arc& arc) {
    Option before;
    for (const int h : arc.hull) {
      const Option& option = arc.options[static_cast<std::size_t>(h)];
      const auto cost = static_cast<double>(std::max<std::int64_t>(option.cost - before.cost, 1));
      highest_ = std::max(highest_, (option.worth - before.worth) / cost);
      before = option;
    }
  }

  /// An arc's best option at a price.
  static const Option& best_of(const Arc& arc, double multiplier) {
    std::size_t low = 0, high = arc.hull.size() - 1;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      const Option& a = arc.options[static_cast<std::size_t>(arc.hull[middle])];
      const Option& b = arc.options[static_cast<std::size_t>(arc.hull[middle + 1])];
      if (b.worth - a.worth > multiplier * static_cast<double>(b.cost - a.cost))
        low = middle + 1;
      else
        high = middle;
    }
    return arc.options[static_cast<std::size_t>(arc.hull[low])];
  }

  void collect(double multiplier, int last, std::vector<Line>& collected) const {
    collected.assign(static_cast<std::size_t>(last) + 1, {});
    for (std::size_t n = 1; n < collected.size(); ++n) {
      Line& here = collected[n];
      here.value = nothing;
      for (const Arc& arc : diagram_.nodes[n].arcs) {
        const Line& source = collected[static_cast<std::size_t>(arc.from)];
        const Option& option = best_of(arc, multiplier);
        const auto cost = static_cast<double>(option.cost);
        const double value = source.value + option.worth - multiplier * cost;
        if (value > here.value) here = {value, source.cost + cost};
      }
    }
  }

  /// And before_, the most up to each node, so that options that lead nowhere are not tried at all.
  void spread_rest() {
    const auto through = [&](const Arc& arc, const PerMultiplier& from, PerMultiplier& to) {
      for (std::size_t m = 0; m < multiplier_count; ++m) {
        const Option& option = best_of(arc, multipliers_[m]);
        to[m] = std::max(to[m], from[m] + option.worth - multipliers_[m] * static_cast<double>(option.cost));
      }
    };
    for (std::size_t n = rest_.size(); n-- > 0;) {
      if (rest_[n][0] == nothing) continue;  // does not lead there
      for (const Arc& arc : diagram_.nodes[n].arcs) through(arc, rest_[n], rest_[static_cast<std::size_t>(arc.from)]);
    }
    PerMultiplier none;
    none.fill(nothing);
    before_.assign(rest_.size(), none);
    before_.front() = {};
    for (std::size_t n = 1; n < rest_.size(); ++n) {
      if (rest_[n][0] == nothing) continue;
      for (const Arc& arc : diagram_.nodes[n].arcs)
        through(arc, before_[static_cast<std::size_t>(arc.from)], before_[n]);
    }
  }

  /// Whether a selection with an option of an arc to `node` can reach the target.
  bool may_reach(const Arc& arc, const Option& option, std::size_t node) const {
    const auto room = static_cast<double>(budget_ - option.cost);
    const PerMultiplier& before = before_[static_cast<std::size_t>(arc.from)];
    bool reached = true;
    for (std::size_t m = 0; m < multiplier_count; ++m) {
      const double most = before[m] + option.worth + rest_[node][m] + multipliers_[m] * room;
      reached = reached && most >= target_ - rounding_;
    }
    return reached;
  }

  bool run(int last) {
    taken_.assign(1, {});
    std::vector<std::vector<Pair>> lists(static_cast<std::size_t>(last) + 1);
    std::vector<Pair> merged;
    lists.front().push_back({});
    for (std::size_t n = 1; n < lists.size(); ++n) {
      if (rest_[n][0] == nothing) continue;
      std::vector<Pair>& list = lists[n];
      for (const Arc& arc : diagram_.nodes[n].arcs) {
        const std::vector<Pair>& source = lists[static_cast<std::size_t>(arc.from)];
        if (source.empty()) continue;
        if (!spend(arc.options.size() / multiplier_count)) return false;
        for (const Option& option : arc.options) {
          if (!may_reach(arc, option, n)) continue;
          if (!spend(list.size() + source.size())) return false;
          merge(list, source, option.cost, option.worth, rest_[n], merged, option.taken > 0 ? option.taken : -1);
          list.swap(merged);
        }
      }
      thin_out(list);
    }
    keep(lists.back());
    return true;
  }

  void thin_out(std::vector<Pair>& list) const {
    if (thin_ == 0) return;
    std::size_t kept = 0;
    for (const Pair& pair : list) {
      if (kept > 0 && list[kept - 1].cost / thin_ == pair.cost / thin_) --kept;
      list[kept++] = pair;
    }
    list.resize(kept);
  }

  const BlockDiagram& diagram_;
  std::int64_t thin_;
  std::vector<PerMultiplier> before_;
};

}  // namespace greentrainer::select_detail
