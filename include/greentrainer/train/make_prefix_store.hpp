#pragma once

#include <memory>
#include <utility>

#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/disk_prefix_store.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// The store that options ask for, or none. One on disk has the room that cuts up to operator `highest` may need.
/// Throws ConfigError where its folder cannot be used, or has not that room.
template <Backend B>
std::unique_ptr<PrefixStore> make_prefix_store(const TensorGraph<B>& graph, const FitOptions& options,
                                               const TrainingBatches& batches, OperatorId highest) {
  if (options.prefix_cache == PrefixCacheMode::off) return nullptr;
  if (options.prefix_cache == PrefixCacheMode::memory) return std::make_unique<MemoryPrefixStore>();
  auto disk = std::make_unique<DiskPrefixStore>(options.prefix_cache_folder);
  const PrefixRoom room =
      PrefixCache<B>::room_of(options.prefix_cache_type, disk->beside_each(), options.prefix_cache_limit);
  disk->reserve(most_cached_bytes(graph, room, batches, highest));
  return disk;
}

}  // namespace greentrainer
