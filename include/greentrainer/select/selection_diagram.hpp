#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "greentrainer/select/bit_set.hpp"
#include "greentrainer/select/reduced_problem.hpp"

namespace greentrainer::select_detail {

/// Every way to decide which classes of a reduced problem are computed, as a decision diagram: classes are decided one
/// after the other, in or out, and partial decisions from which the same groups can still be reached are one vertex
/// (the frontier method for families of graphs).
///
/// This is what finds the stages of a network. On a residual stream only "everything above is computed" and partial
/// choices within the present sub-layer differ in what they can still reach, since one missing piece puts everything
/// below out of reach; so a chain has one vertex a class, a decoder a handful. In an encoder-decoder the encoder stays
/// in reach or not: two such streams side by side. This is not told by the model; it follows from which items lie
/// behind which nodes. A DAG without such structure has too many vertices, and build() gives up.
struct SelectionDiagram {
  struct Edge {
    int from = 0;
    std::int64_t extra = 0;  ///< what coming this way costs beyond `base` of the vertex it leads to
  };
  struct Vertex {
    std::int64_t base = 0;  ///< the least exact cost of classes with which this vertex is reached; paths are priced by
                            ///< it, not step by step
    std::vector<Edge> edges;  ///< ways to get here, the cheapest first; none for the root
    std::vector<int> groups;  ///< whose last class has just been decided, and which can be chosen from here on
    int successors = 0;       ///< edges that start here
    bool ends = false;        ///< some decision leads from here to where nothing more can be reached
  };
  std::vector<Vertex> vertices;  ///< edges lead to higher numbers
  bool whole_steps = true;       ///< every `extra` is a whole number of steps, so merging vertices loses nothing

  /// Deciding `order` (all classes, each once). `step` is the knapsack's: where few groups are left, vertices are
  /// merged only if that costs no rounding. Nothing if it takes more than `max_vertices` or more than `max_width` at
  /// once. O(vertices x groups / 64).
  static std::optional<SelectionDiagram> build(const ReducedProblem& problem, const std::vector<int>& order,
                                               std::int64_t step, std::size_t max_vertices, std::size_t max_width);
};

inline std::optional<SelectionDiagram> SelectionDiagram::build(const ReducedProblem& problem,
                                                               const std::vector<int>& order, std::int64_t step,
                                                               std::size_t max_vertices, std::size_t max_width) {
  // Up to so many groups left, vertices are told apart by the fraction of a step in their base as well; there are few
  // and they die soon.
  constexpr std::size_t few_groups = 4;

  std::vector<int> position(order.size());
  for (std::size_t p = 0; p < order.size(); ++p) position[static_cast<std::size_t>(order[p])] = static_cast<int>(p);
  std::vector<std::vector<int>> completed(order.size() + 1);  // groups by the position of their last class, +1
  for (std::size_t g = 0; g < problem.groups.size(); ++g) {
    int last = -1;
    for (const int c : problem.groups[g].classes) last = std::max(last, position[static_cast<std::size_t>(c)]);
    completed[static_cast<std::size_t>(last + 1)].push_back(static_cast<int>(g));
  }

  struct State {
    BitSet reachable;  // groups not yet completed that can still be chosen
    int vertex;
  };
  using Key = std::pair<std::size_t, std::int64_t>;  // number of the reachable set, fraction of a step

  SelectionDiagram diagram;
  std::vector<State> layer;
  const auto complete = [&](State& state, std::size_t level) {
    for (const int g : completed[level]) {
      if (!state.reachable.contains(static_cast<std::size_t>(g))) continue;
      state.reachable.erase(static_cast<std::size_t>(g));
      diagram.vertices[static_cast<std::size_t>(state.vertex)].groups.push_back(g);
    }
  };

  BitSet all(problem.groups.size());
  for (std::size_t g = 0; g < problem.groups.size(); ++g) all.insert(g);
  diagram.vertices.push_back({});
  layer.push_back({std::move(all), 0});
  complete(layer.front(), 0);

  for (std::size_t level = 0; level < order.size(); ++level) {
    const auto& decided = problem.classes[static_cast<std::size_t>(order[level])];
    std::vector<State> next;
    std::unordered_map<BitSet, std::size_t, BitSetHash> sets;
    std::map<Key, int> found;
    const auto lead = [&](int from, BitSet reachable, std::int64_t cost) {
      auto& source = diagram.vertices[static_cast<std::size_t>(from)];
      if (reachable.empty()) {
        source.ends = true;
        return;
      }
      ++source.successors;
      const std::int64_t fraction = reachable.count() <= few_groups ? cost % step : 0;
      const std::size_t set = sets.try_emplace(reachable, sets.size()).first->second;
      const auto [entry, added] = found.try_emplace(Key{set, fraction}, static_cast<int>(diagram.vertices.size()));
      if (added) {
        diagram.vertices.push_back({});  // invalidates `source`
        diagram.vertices.back().base = std::numeric_limits<std::int64_t>::max();
        next.push_back({std::move(reachable), entry->second});
      }
      auto& target = diagram.vertices[static_cast<std::size_t>(entry->second)];
      target.base = std::min(target.base, cost);
      target.edges.push_back({from, cost});
    };
    for (const State& state : layer) {
      const std::int64_t base = diagram.vertices[static_cast<std::size_t>(state.vertex)].base;
      if (!state.reachable.meets(decided.users)) {
        lead(state.vertex, state.reachable, base);
        continue;
      }
      if (decided.cost <= problem.budget - base) lead(state.vertex, state.reachable, base + decided.cost);
      BitSet without = state.reachable;
      without -= decided.users;
      lead(state.vertex, std::move(without), base);
    }
    for (State& state : next) {
      auto& vertex = diagram.vertices[static_cast<std::size_t>(state.vertex)];
      for (Edge& edge : vertex.edges) {
        edge.extra -= vertex.base;
        if (edge.extra % step != 0) diagram.whole_steps = false;
      }
      std::stable_sort(vertex.edges.begin(), vertex.edges.end(),
                       [](const Edge& a, const Edge& b) { return a.extra < b.extra; });
      complete(state, level + 1);
    }
    layer = std::move(next);
    if (layer.size() > max_width || diagram.vertices.size() > max_vertices) return std::nullopt;
  }
  for (const State& state : layer) diagram.vertices[static_cast<std::size_t>(state.vertex)].ends = true;
  return diagram;
}

/// Classes in the order of their last (or first) node: the order of the backward pass, which is good wherever the graph
/// was built that way.
inline std::vector<int> backward_order(const ReducedProblem& problem, bool by_last_node) {
  std::vector<int> order(problem.classes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const auto& left = problem.classes[static_cast<std::size_t>(a)];
    const auto& right = problem.classes[static_cast<std::size_t>(b)];
    return by_last_node ? left.last_node < right.last_node : left.first_node < right.first_node;
  });
  return order;
}

/// Classes in an order that keeps few partial decisions apart: of the classes whose supersets are decided, always the
/// one after which the fewest distinct reachable sets remain. For DAGs whose numbering interleaves branches. Stops
/// early, with the rest in backward order, past `max_width` sets or when it has looked at too many.
inline std::vector<int> narrow_order(const ReducedProblem& problem, std::size_t max_width) {
  constexpr std::size_t most_work = 1'000'000;  // sets looked at
  const auto users = [&](int c) -> const BitSet& { return problem.classes[static_cast<std::size_t>(c)].users; };
  std::vector<int> rest = backward_order(problem, true);
  std::vector<int> order;
  std::vector<std::size_t> supersets(rest.size(), 0);  // undecided ones of each class
  for (const int c : rest) {
    for (const int other : rest) {
      if (c != other && users(other).contains_all(users(c))) ++supersets[static_cast<std::size_t>(c)];
    }
  }
  std::vector<std::size_t> undecided(problem.groups.size());
  BitSet all(problem.groups.size());
  for (std::size_t g = 0; g < undecided.size(); ++g) {
    undecided[g] = problem.groups[g].classes.size();
    if (undecided[g] > 0) all.insert(g);
  }
  using Sets = std::unordered_set<BitSet, BitSetHash>;
  Sets reachable;
  reachable.insert(std::move(all));
  std::size_t work = 0;
  while (!rest.empty() && reachable.size() <= max_width && work <= most_work) {
    std::size_t best = rest.size();
    Sets best_sets;
    for (std::size_t r = 0; r < rest.size(); ++r) {
      if (supersets[static_cast<std::size_t>(rest[r])] != 0) continue;
      BitSet completes(problem.groups.size());
      for (std::size_t g = 0; g < undecided.size(); ++g) {
        if (undecided[g] == 1 && users(rest[r]).contains(g)) completes.insert(g);
      }
      Sets sets;
      for (const BitSet& set : reachable) {
        BitSet in = set;
        in -= completes;
        BitSet out = in;
        out -= users(rest[r]);
        sets.insert(std::move(in));
        sets.insert(std::move(out));
      }
      work += reachable.size();
      if (best == rest.size() || sets.size() < best_sets.size()) {
        best = r;
        best_sets = std::move(sets);
      }
    }
    const int chosen = rest[best];
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(best));
    for (const int other : rest) {
      if (users(chosen).contains_all(users(other))) --supersets[static_cast<std::size_t>(other)];
    }
    for (std::size_t g = 0; g < undecided.size(); ++g) {
      if (users(chosen).contains(g)) --undecided[g];
    }
    order.push_back(chosen);
    reachable = std::move(best_sets);
  }
  order.insert(order.end(), rest.begin(), rest.end());
  return order;
}

}  // namespace greentrainer::select_detail
