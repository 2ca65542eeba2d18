#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "greentrainer/core/random.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer::testing {

/// Some of the items of a model's gradient graph, worth random amounts, and the nodes that cost something: small enough
/// for exhaustive search.
inline GradientDag some_items(const GradientDag& dag, std::size_t count, CounterRandom& random) {
  GradientDag some;
  std::vector<std::vector<int>> stands_for(dag.nodes.size());  // the kept nodes that a node needs, itself included
  const auto needs_of = [&](const std::vector<int>& needs) {
    std::vector<int> kept;
    for (const int need : needs) {
      const auto& those = stands_for[static_cast<std::size_t>(need)];
      kept.insert(kept.end(), those.begin(), those.end());
    }
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    return kept;
  };
  for (std::size_t n = 0; n < dag.nodes.size(); ++n) {
    stands_for[n] = needs_of(dag.nodes[n].needs);
    if (dag.nodes[n].cost == 0) continue;
    some.nodes.push_back({dag.nodes[n].cost, stands_for[n]});
    stands_for[n] = {static_cast<int>(some.nodes.size()) - 1};
  }
  std::vector<bool> taken(dag.items.size(), false);
  while (some.items.size() < count) {
    const auto i = static_cast<std::size_t>(random.below(static_cast<std::uint32_t>(dag.items.size())));
    if (taken[i]) continue;
    taken[i] = true;
    some.items.push_back({dag.items[i].cost, random.normal() + 1, needs_of(dag.items[i].needs)});
  }
  return some;
}

}  // namespace greentrainer::testing
