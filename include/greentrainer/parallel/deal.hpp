#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Deals items of these sizes to ranks, so that the ranks have about as much: the largest first, each to the rank that
/// has the least so far (Graham's LPT rule: at most 4/3 of the best possible largest share). Returns the items of each
/// rank, ascending; a function of its arguments alone. Equal items go to the lowest rank, the earlier one first. With
/// fewer items than ranks, some get none.
inline std::vector<std::vector<std::size_t>> deal(std::span<const Extent> sizes, int ranks) {
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  std::vector<std::vector<std::size_t>> dealt(static_cast<std::size_t>(ranks));
  std::vector<Extent> load(dealt.size(), 0);
  for (const std::size_t item : order) {
    const auto rank = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    dealt[rank].push_back(item);
    load[rank] += sizes[item];
  }
  for (auto& items : dealt) std::sort(items.begin(), items.end());
  return dealt;
}

}  // namespace greentrainer
