#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "greentrainer/select/knapsack_row.hpp"
#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"

namespace greentrainer::select_detail {

/// Knapsack dynamic programming along a selection diagram. Each vertex has an array: entry t is the most importance
/// that can have been collected on the way there, when the classes cost no more than the vertex's base and everything
/// beyond them no more than t steps. An array moves along an edge by shifting, and takes in items by shift-add-max;
/// where no more can be reached it is a candidate for the answer.
class DiagramKnapsack {
 public:
  /// Requires `problem` and `diagram`, built with the same `step`, to outlive this object. Runs the whole computation.
  /// O((edges + items) x budget / step) time; one bit an item, vertex and step to read the choice back, and the arrays
  /// that are alive.
  DiagramKnapsack(const ReducedProblem& problem, const SelectionDiagram& diagram, std::int64_t step)
      : problem_(problem), diagram_(diagram), step_(step), traces_(diagram.vertices.size()) {
    bundle_items();
    find_lowest();
    run();
  }

  /// Where a selection can end: the value of the best that ends there, by the knapsack's rounded costs, and the vertex.
  /// Best first.
  const std::vector<std::pair<double, int>>& ends() const { return ends_; }

  /// Original numbers of the items of the best selection that ends at `vertex`. O(diagram depth + items).
  std::vector<int> trace(int vertex) const {
    std::vector<int> chosen;
    std::size_t t = length(vertex) - 1;
    while (true) {
      const Trace& trace = traces_[static_cast<std::size_t>(vertex)];
      const auto& source = diagram_.vertices[static_cast<std::size_t>(vertex)];
      std::size_t decided = trace.items.size();
      for (std::size_t g = source.groups.size(); g-- > 0;) {
        const auto& bundles = bundles_[static_cast<std::size_t>(source.groups[g])];
        for (std::size_t b = bundles.size(); b-- > 0;) {
          const Bundle& bundle = bundles[b];
          const unsigned number = decision(decisions_, trace.items[--decided], bundle.options.size(), t);
          if (number == 0) continue;
          const std::size_t o = number - 1;
          chosen.insert(chosen.end(), bundle.members[o].begin(), bundle.members[o].end());
          t -= bundle.options[o].shift;
        }
      }
      if (source.edges.empty()) return chosen;
      std::size_t edge = source.edges.size() - 1;
      for (; edge > 0; --edge) {
        const std::size_t start = trace.edges[edge - 1];
        if (start != none && decision(decisions_, start, 1, t) != 0) break;
      }
      t -= steps(source.edges[edge].extra);
      vertex = source.edges[edge].from;
    }
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  /// One or two items of a group. Rounding a pair's cost up as a whole costs a fraction of a step once, not twice; a
  /// bias beside its weight is then free instead of a whole step.
  struct Bundle {
    std::vector<RowOption> options;
    std::vector<std::vector<int>> members;  ///< item numbers of each option
  };
  struct Trace {
    std::vector<std::size_t> edges;  ///< start of the decisions for each edge but the first; `none` where it cannot fit
    std::vector<std::size_t> items;  ///< start of the decisions for each bundle
  };

  std::size_t steps(std::int64_t cost) const {
    return static_cast<std::size_t>(cost / step_ + (cost % step_ != 0 ? 1 : 0));
  }

  std::size_t length(int vertex) const {
    return static_cast<std::size_t>((problem_.budget - diagram_.vertices[static_cast<std::size_t>(vertex)].base) /
                                    step_) +
           1;
  }

  void bundle_items() {
    bundles_.resize(problem_.groups.size());
    for (std::size_t g = 0; g < bundles_.size(); ++g) {
      auto items = problem_.groups[g].items;
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.cost > b.cost; });
      // The dearest with the cheapest, and so on: small costs suffer most from rounding.
      for (std::size_t front = 0, back = items.size(); front < back;) {
        const auto& first = items[front++];
        Bundle bundle;
        const auto offer = [&bundle](std::size_t shift, double gain, std::vector<int> members) {
          bundle.options.push_back({shift, gain});
          bundle.members.push_back(std::move(members));
        };
        if (front == back) {
          offer(steps(first.cost), first.importance, {first.number});
        } else {
          const auto& second = items[--back];
          const std::size_t both = steps(first.cost + second.cost);
          offer(both, first.importance + second.importance, {first.number, second.number});
          // An option is left out if a better one costs no more.
          const std::size_t dear = steps(first.cost);
          const std::size_t cheap = steps(second.cost);
          if (dear < both && first.importance > second.importance) offer(dear, first.importance, {first.number});
          if (cheap < both && (cheap < dear || second.importance >= first.importance))
            offer(cheap, second.importance, {second.number});
        }
        bundles_[g].push_back(std::move(bundle));
      }
    }
  }

  /// An answer reads a vertex's array at its end, or below that by at most the steps of what is chosen further on:
  /// entries below `lowest_` are never asked for, and need not be kept up to date.
  void find_lowest() {
    lowest_.resize(diagram_.vertices.size());
    for (std::size_t v = 0; v < lowest_.size(); ++v) lowest_[v] = length(static_cast<int>(v)) - 1;
    for (std::size_t v = lowest_.size(); v-- > 0;) {
      const auto& vertex = diagram_.vertices[v];
      std::size_t steps_here = 0;
      for (const int g : vertex.groups) {
        for (const Bundle& bundle : bundles_[static_cast<std::size_t>(g)]) {
          std::size_t most = 0;
          for (const RowOption& option : bundle.options) most = std::max(most, option.shift);
          steps_here += most;
        }
      }
      const std::size_t before = lowest_[v] - std::min(lowest_[v], steps_here);
      for (const auto& edge : vertex.edges) {
        auto& lowest = lowest_[static_cast<std::size_t>(edge.from)];
        lowest = std::min(lowest, before - std::min(before, steps(edge.extra)));
      }
      lowest_[v] = before;
    }
  }

  void run() {
    std::vector<std::vector<double>> rows(diagram_.vertices.size());
    std::vector<std::vector<double>> spare;  // arrays that have died, for reuse
    std::vector<int> successors(diagram_.vertices.size());
    for (std::size_t v = 0; v < rows.size(); ++v) {
      const auto& vertex = diagram_.vertices[v];
      successors[v] = vertex.successors;
      const std::size_t size = length(static_cast<int>(v));
      // One block more than take_best() asks for: a shifted source may be shorter than its target.
      const std::size_t padded = (size + row_block - 1) / row_block * row_block + row_block;
      std::vector<double>& row = rows[v];
      if (vertex.edges.empty()) {
        row.assign(padded, 0.0);
      } else {
        const auto first = static_cast<std::size_t>(vertex.edges.front().from);
        if (successors[first] == 1) {
          row = std::move(rows[first]);  // the last to want it
        } else {
          if (!spare.empty()) {
            row = std::move(spare.back());
            spare.pop_back();
          }
          row.assign(rows[first].begin(), rows[first].begin() + static_cast<std::ptrdiff_t>(padded));
        }
        --successors[first];
        for (std::size_t e = 1; e < vertex.edges.size(); ++e) {
          const auto from = static_cast<std::size_t>(vertex.edges[e].from);
          const RowOption move{steps(vertex.edges[e].extra), 0.0};
          traces_[v].edges.push_back(move.shift < size ? decisions_.size() : none);
          if (move.shift < size) take_best(row.data(), rows[from].data(), lowest_[v], size, &move, 1, decisions_);
          if (--successors[from] == 0) spare.push_back(std::move(rows[from]));
        }
      }
      for (const int g : vertex.groups) {
        for (const Bundle& bundle : bundles_[static_cast<std::size_t>(g)]) {
          traces_[v].items.push_back(decisions_.size());
          take_best(row.data(), row.data(), lowest_[v], size, bundle.options.data(), bundle.options.size(), decisions_);
        }
      }
      if (vertex.ends) ends_.emplace_back(row[size - 1], static_cast<int>(v));
      if (successors[v] == 0) spare.push_back(std::move(row));
    }
    std::stable_sort(ends_.begin(), ends_.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  }

  const ReducedProblem& problem_;
  const SelectionDiagram& diagram_;
  std::int64_t step_;
  std::vector<std::vector<Bundle>> bundles_;
  std::vector<std::size_t>
      lowest_;  // for each vertex, the lowest entry that can be asked for before or after its own items
  std::vector<std::uint64_t> decisions_;
  std::vector<Trace> traces_;
  std::vector<std::pair<double, int>> ends_;
};

}  // namespace greentrainer::select_detail
