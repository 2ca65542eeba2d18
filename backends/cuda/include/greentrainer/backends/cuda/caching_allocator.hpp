#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "greentrainer/core/types.hpp"

namespace greentrainer::cuda {

/// Where a CachingAllocator takes memory from.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Null if there is no such amount.
  virtual void* obtain(Bytes bytes) = 0;
  /// Waits for whatever may still use it.
  virtual void release(void* memory, Bytes bytes) noexcept = 0;
};

struct MemoryStatistics {
  Bytes in_use = 0;    ///< by whoever asked for it, rounded up to blocks
  Bytes peak = 0;      ///< the most that was in use
  Bytes reserved = 0;  ///< taken from the source, in use or not
};

/// Hands out blocks of segments that it takes from a source and keeps. A freed block is handed out again at once: with
/// all work on one stream, whoever gets it next runs after whoever had it before. O(log blocks) a call.
///
/// Small requests live in segments of their own, so that they do not keep large ones from coming together again. A
/// request takes the smallest free block that holds it; what is left of the block, if it is worth it, stays free; free
/// neighbours become one.
class CachingAllocator {
 public:
  static constexpr Bytes alignment = 512;               ///< of every block; what cuBLAS likes best is 256
  static constexpr Bytes small_limit = Bytes{1} << 20;  ///< the largest small request

  explicit CachingAllocator(MemorySource& source) : source_(source) {}
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;
  ~CachingAllocator() {
    for (const auto& [address, block] : blocks_) {
      if (address == block.segment) source_.release(address, segment_bytes(address));
    }
  }

  /// At least `bytes`, which is positive, or null if the source has no more even after unused segments went back to it.
  void* allocate(Bytes bytes) {
    if (bytes > limit) return nullptr;
    const Bytes wanted = rounded(bytes);
    std::set<Free>& free = wanted <= small_limit ? small_ : large_;
    auto found = free.lower_bound({wanted, nullptr});
    if (found == free.end()) {
      if (!reserve(wanted)) return nullptr;
      found = free.lower_bound({wanted, nullptr});
    }
    char* const address = found->second;
    free.erase(found);
    Block& block = blocks_.at(address);
    const Bytes rest = block.bytes - wanted;
    if (rest >= (block.small ? alignment : small_limit)) {
      block.bytes = wanted;
      blocks_.emplace(address + wanted, Block{rest, block.segment, block.small, false});
      free.insert({rest, address + wanted});
    }
    block.used = true;
    statistics_.in_use += block.bytes;
    statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
    return address;
  }

  /// `memory` is a live block's, or null.
  void deallocate(void* memory) noexcept {
    auto at = blocks_.find(static_cast<char*>(memory));
    if (at == blocks_.end()) return;
    statistics_.in_use -= at->second.bytes;
    at->second.used = false;
    if (const auto next = std::next(at); next != blocks_.end()) merge(at, next);
    if (at != blocks_.begin()) {
      if (const auto before = std::prev(at); merge(before, at)) at = before;
    }
    free_list(at->second).insert({at->second.bytes, at->first});
  }

  /// Gives segments without a live block back to the source.
  void release_unused() {
    for (auto at = blocks_.begin(); at != blocks_.end();) {
      const auto& [address, block] = *at;
      const auto next = std::next(at);
      const bool whole = address == block.segment && (next == blocks_.end() || next->second.segment != block.segment);
      if (whole && !block.used) {
        free_list(block).erase({block.bytes, address});
        statistics_.reserved -= block.bytes;
        source_.release(address, block.bytes);
        blocks_.erase(at);
      }
      at = next;
    }
  }

  const MemoryStatistics& statistics() const { return statistics_; }

 private:
  struct Block {
    Bytes bytes = 0;
    char* segment = nullptr;  ///< where its segment begins
    bool small = false;
    bool used = false;
  };
  using Blocks = std::map<char*, Block>;
  using Free = std::pair<Bytes, char*>;

  static constexpr Bytes limit = Bytes{1} << 48;  // no device has it, and rounding does not overflow

  static constexpr Bytes round_up(Bytes bytes, Bytes step) { return (bytes + step - 1) / step * step; }
  static constexpr Bytes rounded(Bytes bytes) { return round_up(bytes, alignment); }

  std::set<Free>& free_list(const Block& block) { return block.small ? small_ : large_; }

  bool reserve(Bytes wanted) {
    constexpr Bytes small_segment = 2 * small_limit, large_segment = 20 * small_limit;
    const bool small = wanted <= small_limit;
    const Bytes bytes = small                        ? small_segment
                        : wanted < large_segment / 2 ? large_segment
                                                     : round_up(wanted, small_segment);
    void* memory = source_.obtain(bytes);
    if (memory == nullptr) {
      release_unused();
      memory = source_.obtain(bytes);
    }
    if (memory == nullptr) return false;
    char* const address = static_cast<char*>(memory);
    const Block block{bytes, address, small, false};
    blocks_.emplace(address, block);
    free_list(block).insert({bytes, address});
    statistics_.reserved += bytes;
    return true;
  }

  /// Makes one of two free neighbours of one segment; the second is gone then, and neither is on a list.
  bool merge(Blocks::iterator first, Blocks::iterator second) {
    if (first->second.used || second->second.used || first->second.segment != second->second.segment) return false;
    for (const auto& block : {first, second}) free_list(block->second).erase({block->second.bytes, block->first});
    first->second.bytes += second->second.bytes;
    blocks_.erase(second);
    return true;
  }

  Bytes segment_bytes(char* segment) const {
    Bytes bytes = 0;
    for (auto at = blocks_.find(segment); at != blocks_.end() && at->second.segment == segment; ++at)
      bytes += at->second.bytes;
    return bytes;
  }

  MemorySource& source_;
  Blocks blocks_;                 ///< by address, live and free
  std::set<Free> small_, large_;  ///< free ones, by size
  MemoryStatistics statistics_;
};

}  // namespace greentrainer::cuda
