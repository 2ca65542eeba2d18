#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/disk_prefix_store.hpp"
#include "greentrainer/train/prefix_cache.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// What the entries of the cache that options ask for come to; nothing without one.
template <Backend B>
std::optional<PrefixRoom> planned_prefix_room(const FitOptions& options) {
  if (options.prefix_cache == PrefixCacheMode::off) return std::nullopt;
  const bool on_disk = options.prefix_cache == PrefixCacheMode::disk;
  return PrefixCache<B>::room_of(options.prefix_cache_type, on_disk ? DiskPrefixStore::header_bytes : 0,
                                 options.prefix_cache_limit);
}

/// The store that options ask for, or none. One on disk has the room that cuts up to operator `highest` may need.
/// Throws ConfigError where its folder cannot be used, or has not that room.
template <Backend B>
std::unique_ptr<PrefixStore> make_prefix_store(const TensorGraph<B>& graph, const FitOptions& options,
                                               const TrainingBatches& batches, OperatorId highest) {
  if (options.prefix_cache == PrefixCacheMode::off) return nullptr;
  if (options.prefix_cache == PrefixCacheMode::memory) return std::make_unique<MemoryPrefixStore>();
  auto disk = std::make_unique<DiskPrefixStore>(options.prefix_cache_folder);
  disk->reserve(most_cached_bytes(graph, *planned_prefix_room<B>(options), batches, highest));
  return disk;
}

}  // namespace greentrainer
