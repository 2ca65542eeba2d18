#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "greentrainer/graph/lifetimes.hpp"
#include "greentrainer/graph/placed_storages.hpp"

namespace greentrainer {

/// Where each storage of a pass lies in one block of memory, for one workload. Storages that live at the same time do
/// not overlap.
struct MemoryLayout {
  static constexpr Bytes alignment = 256;

  std::vector<Bytes> offsets = {};
  Bytes total = 0;  ///< of all activations and their gradients at the worst moment, as laid out

  static constexpr Bytes aligned(Bytes bytes) { return (bytes + alignment - 1) / alignment * alignment; }
};

/// Places the largest first, each into the smallest gap that is free for its lifetime. Deterministic. About
/// O(storages^1.5) for a model, O(storages^2) at worst.
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
  PlacedStorages placed;
  for (const std::size_t i : order) {
    if (sizes[i] == 0) continue;
    const auto& storage = storages[i];
    const Bytes begin = placed.best_fit(sizes[i], storage.born, storage.dies), end = begin + sizes[i];
    placed.insert({.begin = begin, .end = end, .born = storage.born, .dies = storage.dies});
    layout.offsets[i] = begin;
    layout.total = std::max(layout.total, end);
  }
  return layout;
}

}  // namespace greentrainer
