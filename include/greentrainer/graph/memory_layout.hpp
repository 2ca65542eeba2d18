#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "greentrainer/graph/lifetimes.hpp"

namespace greentrainer {

/// Where each storage of a pass lies in one block of memory, for one workload. Storages that live at the same time do
/// not overlap.
struct MemoryLayout {
  static constexpr Bytes alignment = 256;

  std::vector<Bytes> offsets;
  Bytes total = 0;  ///< of all activations and their gradients at the worst moment, as laid out

  static constexpr Bytes aligned(Bytes bytes) { return (bytes + alignment - 1) / alignment * alignment; }
};

/// Places the largest first, each into the smallest gap that is free for its lifetime. O(storages^2) at worst;
/// deterministic.
inline MemoryLayout make_memory_layout(const Lifetimes& lifetimes, const Workload& workload, Bytes element_size) {
  const auto& storages = lifetimes.storages;
  const std::size_t n = storages.size();
  std::vector<Bytes> sizes(n);
  for (std::size_t i = 0; i < n; ++i)
    sizes[i] = MemoryLayout::aligned(Lifetimes::elements(storages[i], workload) * element_size);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });

  MemoryLayout layout;
  layout.offsets.assign(n, 0);
  std::vector<std::size_t> placed;  // ordered by offset
  for (const std::size_t i : order) {
    if (sizes[i] == 0) continue;
    Bytes best = -1, best_gap = 0, end = 0;
    for (const std::size_t j : placed) {
      if (storages[j].dies < storages[i].born || storages[i].dies < storages[j].born) continue;
      const Bytes gap = layout.offsets[j] - end;
      if (gap >= sizes[i] && (best < 0 || gap < best_gap)) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, layout.offsets[j] + sizes[j]);
    }
    layout.offsets[i] = best < 0 ? end : best;
    layout.total = std::max(layout.total, layout.offsets[i] + sizes[i]);
    const auto where = std::upper_bound(placed.begin(), placed.end(), layout.offsets[i],
                                        [&](Bytes offset, std::size_t j) { return offset < layout.offsets[j]; });
    placed.insert(where, i);
  }
  return layout;
}

}  // namespace greentrainer
