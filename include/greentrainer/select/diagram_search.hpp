#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greentrainer/select/end_search.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"

namespace greentrainer::select_detail {

/// EndSearch along a selection diagram: the best selection where importances add up.
class DiagramSearch : public EndSearch<DiagramSearch> {
 public:
  /// Requires `problem` and `diagram` to outlive this object. O((edges + items) x multipliers).
  DiagramSearch(const ReducedProblem& problem, const SelectionDiagram& diagram) : diagram_(diagram) {
    budget_ = problem.budget;
    list_items(problem);
    terms_ = static_cast<double>(items_.size() + diagram_.vertices.size() + 16);
    for (const auto& item : items_) {
      highest_ = std::max(highest_, item.importance / static_cast<double>(std::max<std::int64_t>(item.cost, 1)));
      total_ += item.importance;
    }
    std::vector<int> ends;
    for (std::size_t v = 0; v < diagram_.vertices.size(); ++v) {
      if (diagram_.vertices[v].ends) ends.push_back(static_cast<int>(v));
    }
    bound_ends(ends);
  }

  /// Original numbers of the items that improve() found.
  const std::vector<int>& chosen() const { return chosen_; }

 private:
  friend class EndSearch<DiagramSearch>;

  void list_items(const ReducedProblem& problem) {
    for (const auto& vertex : diagram_.vertices) {
      first_item_.push_back(items_.size());
      const auto first = static_cast<std::ptrdiff_t>(items_.size());
      for (const int g : vertex.groups) {
        const auto& group = problem.groups[static_cast<std::size_t>(g)].items;
        items_.insert(items_.end(), group.begin(), group.end());
      }
      // Those first that are surely in or out: the bound tells soonest then.
      std::stable_sort(items_.begin() + first, items_.end(), [](const auto& a, const auto& b) {
        return a.importance * static_cast<double>(b.cost) > b.importance * static_cast<double>(a.cost);
      });
    }
    first_item_.push_back(items_.size());
  }

  /// What deciding the class on an edge to `to` costs.
  std::int64_t cost_of(const SelectionDiagram::Edge& edge, std::size_t to) const {
    return diagram_.vertices[to].base + edge.extra - diagram_.vertices[static_cast<std::size_t>(edge.from)].base;
  }

  /// The most that can have been collected at each vertex up to `last`, its own items included, at a price of
  /// `multiplier` for a unit of cost.
  void collect(double multiplier, int last, std::vector<Line>& collected) const {
    collected.assign(static_cast<std::size_t>(last) + 1, {});
    for (std::size_t v = 0; v < collected.size(); ++v) {
      Line& here = collected[v];
      if (!diagram_.vertices[v].edges.empty()) here.value = nothing;
      for (const auto& edge : diagram_.vertices[v].edges) {
        const auto cost = static_cast<double>(cost_of(edge, v));
        const Line& source = collected[static_cast<std::size_t>(edge.from)];
        if (source.value - multiplier * cost > here.value)
          here = {source.value - multiplier * cost, source.cost + cost};
      }
      for (std::size_t i = first_item_[v]; i < first_item_[v + 1]; ++i) {
        const auto cost = static_cast<double>(items_[i].cost);
        if (items_[i].importance <= multiplier * cost) continue;
        here.value += items_[i].importance - multiplier * cost;
        here.cost += cost;
      }
    }
  }

  /// With the items of each vertex itself in what can be collected from it on.
  void spread_rest() {
    for (std::size_t v = rest_.size(); v-- > 0;) {
      if (rest_[v][0] == nothing) continue;  // does not lead there
      for (std::size_t i = first_item_[v]; i < first_item_[v + 1]; ++i) {
        for (std::size_t m = 0; m < multiplier_count; ++m) rest_[v][m] += gain(i, m);
      }
      for (const auto& edge : diagram_.vertices[v].edges) {
        const auto cost = static_cast<double>(cost_of(edge, v));
        PerMultiplier& source = rest_[static_cast<std::size_t>(edge.from)];
        for (std::size_t m = 0; m < multiplier_count; ++m)
          source[m] = std::max(source[m], rest_[v][m] - multipliers_[m] * cost);
      }
    }
  }

  double gain(std::size_t i, std::size_t m) const {
    return std::max(0.0, items_[i].importance - multipliers_[m] * static_cast<double>(items_[i].cost));
  }

  /// What of `rest` is left after item `i` of the vertex is decided.
  void decide(std::size_t i, PerMultiplier& rest) const {
    for (std::size_t m = 0; m < multiplier_count; ++m) rest[m] -= gain(i, m);
  }

  /// Looks for the best selection above `target_` that ends at the vertex `last`; false if cut off.
  bool run(int last) {
    taken_.assign(1, {});
    std::vector<std::vector<Pair>> lists(static_cast<std::size_t>(last) + 1);
    std::vector<Pair> merged;
    for (std::size_t v = 0; v < lists.size(); ++v) {
      PerMultiplier rest = rest_[v];
      if (rest[0] == nothing) continue;
      std::vector<Pair>& list = lists[v];
      if (diagram_.vertices[v].edges.empty()) list.push_back({});
      for (const auto& edge : diagram_.vertices[v].edges) {
        const std::vector<Pair>& source = lists[static_cast<std::size_t>(edge.from)];
        if (!spend(list.size() + source.size())) return false;
        merge(list, source, cost_of(edge, v), 0, rest, merged, -1);
        list.swap(merged);
      }
      for (std::size_t i = first_item_[v]; i < first_item_[v + 1]; ++i) {
        if (!spend(list.size())) return false;
        decide(i, rest);
        merge(list, list, items_[i].cost, items_[i].importance, rest, merged, items_[i].number);
        list.swap(merged);
      }
    }
    keep(lists.back());
    return true;
  }

  const SelectionDiagram& diagram_;
  std::vector<ReducedProblem::Item> items_;  // of the vertices, one after the other
  std::vector<std::size_t> first_item_;
};

}  // namespace greentrainer::select_detail
