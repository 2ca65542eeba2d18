#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "greentrainer/select/reduced_problem.hpp"
#include "greentrainer/select/selection_diagram.hpp"

namespace greentrainer::select_detail {

/// A selection diagram whose blocks of items are each contracted to one step, with all that is worth choosing of the
/// block. What a block is worth depends on the sum of what is chosen of it, so that sums are kept within a block and
/// become worth where a path leaves it; from block to block, worth adds up.
struct BlockDiagram {
  /// One way to go through a block: what it costs, gradients included, and what it is worth.
  struct Option {
    std::int64_t cost = 0;
    double worth = 0;
    int taken = 0;  ///< last of its items in `taken`; 0: none
  };
  struct Arc {
    int from = 0;
    std::vector<Option> options;  ///< ascending in cost and worth
    std::vector<int> hull;        ///< those that are best at some price of a unit of cost
  };
  struct Node {
    std::vector<Arc> arcs;  ///< ways to get here; none for the root
    bool ends = false;      ///< selections can end here
  };
  struct Taken {
    int before = 0;
    int item = 0;  ///< original number
  };
  std::vector<Node> nodes;  ///< arcs lead to higher numbers
  std::vector<Taken> taken;
};

/// Adds the points of `options` that are best at some price: the upper hull of cost and worth.
inline void find_hull(const std::vector<BlockDiagram::Option>& options, std::vector<int>& hull) {
  for (std::size_t o = 0; o < options.size(); ++o) {
    while (hull.size() > 1) {
      const auto& a = options[static_cast<std::size_t>(hull[hull.size() - 2])];
      const auto& b = options[static_cast<std::size_t>(hull.back())];
      const double to_b = (b.worth - a.worth) * static_cast<double>(options[o].cost - a.cost);
      if (to_b > (options[o].worth - a.worth) * static_cast<double>(b.cost - a.cost)) break;
      hull.pop_back();
    }
    hull.push_back(static_cast<int>(o));
  }
}

/// Makes the block diagram of a selection diagram.
class BlockDiagramBuilder {
 public:
  /// Requires `problem` and `diagram` to outlive this object. Gives up after `max_labels` partial choices within
  /// blocks.
  BlockDiagramBuilder(const ReducedProblem& problem, const SelectionDiagram& diagram, std::size_t max_labels)
      : problem_(problem), diagram_(diagram), labels_left_(max_labels) {
    find_levels();
    find_stages();
  }

  /// Nothing if it was given up, or more than `most_sums` blocks overlap.
  std::optional<BlockDiagram> build() {
    made_.nodes.push_back({});
    made_.taken.push_back({});
    frontier_ = {{0, 0}};
    std::size_t level = 0;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      for (; level < stages_[s].first; ++level) move_on(level);
      const std::size_t sums = stages_[s].sums;
      if (sums > most_sums) return std::nullopt;
      if (!(sums == 1 ? cross<1>(s) : sums == 2 ? cross<2>(s) : cross<most_sums>(s))) return std::nullopt;
      level = stages_[s].last;
    }
    for (; level < levels_.size(); ++level) move_on(level);
    return std::move(made_);
  }

 private:
  static constexpr std::size_t most_sums = 8;

  /// Consecutive levels of the diagram within which some blocks lie, no other block has an item strictly between, and
  /// which nothing divides further: one block, or several that overlap.
  struct Stage {
    std::size_t first = 0, last = 0;
    std::size_t sums = 0;        ///< one for each block of several items
    bool singles_first = false;  ///< the first sum is of the worth of all blocks of one item
  };
  /// A partial choice within a stage: its cost, and the sums of importances of the stage's blocks.
  template <std::size_t K>
  struct Label {
    std::int64_t cost = 0;
    std::array<double, K> sums = {};
    int taken = 0;
  };
  template <std::size_t K>
  using Labels = std::vector<Label<K>>;

  void find_levels() {
    level_of_.assign(diagram_.vertices.size(), 0);
    for (std::size_t v = 0; v < level_of_.size(); ++v) {
      const auto& edges = diagram_.vertices[v].edges;
      if (!edges.empty()) level_of_[v] = level_of_[static_cast<std::size_t>(edges.front().from)] + 1;
      levels_.resize(std::max(levels_.size(), level_of_[v] + 1));
      levels_[level_of_[v]].push_back(static_cast<int>(v));
    }
  }

  void find_stages() {
    struct Range {
      std::size_t first, last, block;
    };
    std::vector<std::size_t> items(problem_.block_count, 0);
    for (const auto& group : problem_.groups) {
      for (const auto& item : group.items) ++items[static_cast<std::size_t>(item.block)];
    }
    std::vector<Range> ranges;
    std::vector<std::size_t> range_of(problem_.block_count, problem_.block_count);
    for (std::size_t v = 0; v < diagram_.vertices.size(); ++v) {
      for (const int g : diagram_.vertices[v].groups) {
        for (const auto& item : problem_.groups[static_cast<std::size_t>(g)].items) {
          std::size_t& range = range_of[static_cast<std::size_t>(item.block)];
          if (range == problem_.block_count) {
            range = ranges.size();
            ranges.push_back({level_of_[v], level_of_[v], static_cast<std::size_t>(item.block)});
          }
          ranges[range].first = std::min(ranges[range].first, level_of_[v]);
          ranges[range].last = std::max(ranges[range].last, level_of_[v]);
        }
      }
    }
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return std::pair(a.first, a.last) < std::pair(b.first, b.last); });
    stage_of_.assign(problem_.block_count, 0);
    slot_of_.assign(problem_.block_count, 0);
    for (const Range& range : ranges) {
      // A block may begin at the level where another ends: that one is left first.
      if (stages_.empty() || range.first >= stages_.back().last) stages_.push_back({range.first, range.last});
      stages_.back().last = std::max(stages_.back().last, range.last);
      stage_of_[range.block] = stages_.size() - 1;
      if (items[range.block] == 1) stages_.back().singles_first = true;
    }
    for (Stage& stage : stages_) stage.sums = stage.singles_first ? 1 : 0;
    for (const Range& range : ranges) {
      if (items[range.block] > 1) slot_of_[range.block] = stages_[stage_of_[range.block]].sums++;
    }
  }

  int add_node() {
    made_.nodes.push_back({});
    return static_cast<int>(made_.nodes.size()) - 1;
  }
  BlockDiagram::Node& node(int number) { return made_.nodes[static_cast<std::size_t>(number)]; }

  std::int64_t cost_of(const SelectionDiagram::Edge& edge, int to) const {
    return diagram_.vertices[static_cast<std::size_t>(to)].base + edge.extra -
           diagram_.vertices[static_cast<std::size_t>(edge.from)].base;
  }

  /// From this level to the next, outside of stages.
  void move_on(std::size_t level) {
    for (const auto& [vertex, number] : frontier_) {
      if (diagram_.vertices[static_cast<std::size_t>(vertex)].ends) node(number).ends = true;
    }
    std::map<int, int> next;
    if (level + 1 < levels_.size()) {
      for (const int to : levels_[level + 1]) {
        for (const auto& edge : diagram_.vertices[static_cast<std::size_t>(to)].edges) {
          const auto from = frontier_.find(edge.from);
          if (from == frontier_.end()) continue;
          const auto [entry, added] = next.try_emplace(to, 0);
          if (added) entry->second = add_node();
          node(entry->second).arcs.push_back({from->second, {{cost_of(edge, to), 0, 0}}, {0}});
        }
      }
    }
    frontier_ = std::move(next);
  }

  /// From the first level of a stage to its last, with its blocks' items.
  template <std::size_t K>
  bool cross(std::size_t number) {
    const Stage& stage = stages_[number];
    std::map<int, int> next, inner;
    for (const auto& [start, from] : frontier_) {
      std::map<int, Labels<K>> here;
      here[start].push_back({});
      for (std::size_t level = stage.first;; ++level) {
        for (auto& [vertex, labels] : here) {
          if (!take_items(number, vertex, labels)) return false;
        }
        const bool last = level == stage.last;
        for (auto& [vertex, labels] : here) {
          if (!last && !diagram_.vertices[static_cast<std::size_t>(vertex)].ends) continue;
          const auto [entry, added] = (last ? next : inner).try_emplace(vertex, 0);
          if (added) entry->second = add_node();
          node(entry->second).ends = !last;
          add_arc(from, entry->second, labels, stage.singles_first);
        }
        if (last) break;
        std::map<int, Labels<K>> below;
        for (const int to : levels_[level + 1]) {
          for (const auto& edge : diagram_.vertices[static_cast<std::size_t>(to)].edges) {
            const auto source = here.find(edge.from);
            if (source == here.end()) continue;
            Labels<K> moved = source->second;
            for (auto& label : moved) label.cost += cost_of(edge, to);
            if (!join(below[to], moved)) return false;
          }
        }
        here = std::move(below);
      }
    }
    frontier_ = std::move(next);
    return true;
  }

  template <std::size_t K>
  bool take_items(std::size_t stage, int vertex, Labels<K>& labels) {
    for (const int g : diagram_.vertices[static_cast<std::size_t>(vertex)].groups) {
      for (const auto& item : problem_.groups[static_cast<std::size_t>(g)].items) {
        const auto block = static_cast<std::size_t>(item.block);
        if (stage_of_[block] != stage) continue;
        const std::size_t slot = slot_of_[block];
        const bool is_single = slot == 0 && stages_[stage].singles_first;
        const double importance = is_single ? problem_.worth.of(item.importance) : item.importance;
        Labels<K> moved;
        for (const auto& label : labels) {
          if (label.cost > problem_.budget - item.cost) break;
          moved.push_back(label);
          moved.back().cost += item.cost;
          moved.back().sums[slot] += importance;
          moved.back().taken = static_cast<int>(made_.taken.size());
          made_.taken.push_back({label.taken, item.number});
        }
        if (!join(labels, moved)) return false;
      }
    }
    return true;
  }

  /// Adds partial choices to others, both ascending in cost, and leaves out what another one beats: it costs no more,
  /// and no block's sum is less.
  template <std::size_t K>
  bool join(Labels<K>& labels, const Labels<K>& more) {
    std::size_t work = labels.size() + more.size();
    Labels<K> all, kept;
    all.reserve(work);
    std::merge(labels.begin(), labels.end(), more.begin(), more.end(), std::back_inserter(all),
               [](const auto& a, const auto& b) { return a.cost < b.cost || (a.cost == b.cost && a.sums > b.sums); });
    [[maybe_unused]] std::map<double, double> greatest;  // of two sums: the greatest second for the first or more
    for (const auto& label : all) {
      if (label.cost > problem_.budget) break;
      if constexpr (K == 1) {
        if (!kept.empty() && label.sums[0] <= kept.back().sums[0]) continue;
      } else if constexpr (K == 2) {
        auto next = greatest.lower_bound(label.sums[0]);
        if (next != greatest.end() && next->second >= label.sums[1]) continue;
        if (next != greatest.end() && next->first == label.sums[0]) ++next;
        while (next != greatest.begin() && std::prev(next)->second <= label.sums[1])
          next = greatest.erase(std::prev(next));
        greatest.emplace_hint(next, label.sums[0], label.sums[1]);
      } else {
        work += kept.size();
        if (std::any_of(kept.rbegin(), kept.rend(), [&](const auto& other) { return is_beaten(label, other); }))
          continue;
      }
      kept.push_back(label);
    }
    labels = std::move(kept);
    if (work > labels_left_) return false;
    labels_left_ -= work;
    return true;
  }

  template <std::size_t K>
  static bool is_beaten(const Label<K>& label, const Label<K>& by) {
    for (std::size_t k = 0; k < K; ++k) {
      if (by.sums[k] < label.sums[k]) return false;
    }
    return true;
  }

  template <std::size_t K>
  void add_arc(int from, int to, const Labels<K>& labels, bool singles_first) {
    BlockDiagram::Arc arc{from, {}, {}};
    for (const auto& label : labels) {
      BlockDiagram::Option option{label.cost, 0, label.taken};
      for (std::size_t k = 0; k < K; ++k)
        option.worth += k == 0 && singles_first ? label.sums[k] : problem_.worth.of(label.sums[k]);
      if (!arc.options.empty() && option.worth <= arc.options.back().worth) continue;
      if (!arc.options.empty() && option.cost == arc.options.back().cost) arc.options.pop_back();
      arc.options.push_back(option);
    }
    if (arc.options.empty()) return;
    find_hull(arc.options, arc.hull);
    node(to).arcs.push_back(std::move(arc));
  }

  const ReducedProblem& problem_;
  const SelectionDiagram& diagram_;
  std::size_t labels_left_;
  std::vector<std::size_t> level_of_;     // of each vertex
  std::vector<std::vector<int>> levels_;  // vertices of each
  std::vector<Stage> stages_;
  std::vector<std::size_t> stage_of_, slot_of_;  // of each block; its place in the stage
  std::map<int, int> frontier_;                  // nodes by the vertices where they are
  BlockDiagram made_;
};

}  // namespace greentrainer::select_detail
