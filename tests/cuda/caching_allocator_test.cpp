#include "greentrainer/backends/cuda/caching_allocator.hpp"

#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include <doctest/doctest.h>

#include "greentrainer/core/random.hpp"

using namespace greentrainer;
using cuda::CachingAllocator;

namespace {

/// Memory of the host, up to a limit.
class HostMemory final : public cuda::MemorySource {
 public:
  explicit HostMemory(Bytes limit) : limit_(limit) {}

  void* obtain(Bytes bytes) override {
    if (taken() + bytes > limit_) return nullptr;
    void* memory = ::operator new (static_cast<std::size_t>(bytes), std::align_val_t{CachingAllocator::alignment});
    segments_[memory] = bytes;
    return memory;
  }
  void release(void* memory, Bytes bytes) noexcept override {
    if (!segments_.contains(memory) || segments_[memory] != bytes) std::abort();  // not a whole segment
    segments_.erase(memory);
    ::operator delete (memory, std::align_val_t{CachingAllocator::alignment});
  }
  Bytes taken() const {
    Bytes bytes = 0;
    for (const auto& [memory, size] : segments_) bytes += size;
    return bytes;
  }

 private:
  Bytes limit_;
  std::map<void*, Bytes> segments_;
};

constexpr Bytes kib = 1024, mib = kib * kib;

}  // namespace

TEST_CASE("Live blocks never overlap, are aligned, and are counted") {
  HostMemory source(400 * mib);
  CachingAllocator allocator(source);
  CounterRandom random(3, "allocator");
  std::map<char*, Bytes> live;
  Bytes peak = 0;
  for (int step = 0; step < 4000; ++step) {
    if (!live.empty() && random.below(100) < 48) {
      auto one = live.begin();
      std::advance(one, random.below(static_cast<std::uint32_t>(live.size())));
      allocator.deallocate(one->first);
      live.erase(one);
    } else {
      const Bytes bytes = random.below(10) < 8 ? 1 + random.below(100'000) : 1 + random.below(9'000'000);
      char* const block = static_cast<char*>(allocator.allocate(bytes));
      if (block == nullptr) continue;
      CHECK(reinterpret_cast<std::uintptr_t>(block) % CachingAllocator::alignment == 0);
      const auto [place, is_new] = live.emplace(block, bytes);
      REQUIRE(is_new);
      if (place != live.begin()) REQUIRE(std::prev(place)->first + std::prev(place)->second <= block);
      if (std::next(place) != live.end()) REQUIRE(block + bytes <= std::next(place)->first);
    }
    Bytes asked = 0;
    for (const auto& [block, bytes] : live) asked += bytes;
    const cuda::MemoryStatistics& now = allocator.statistics();
    peak = std::max(peak, now.in_use);
    CHECK(now.in_use >= asked);
    CHECK(now.in_use <= asked + static_cast<Bytes>(live.size()) * mib);
    CHECK(now.reserved == source.taken());
    CHECK(now.peak == peak);
  }
  for (const auto& [block, bytes] : live) allocator.deallocate(block);
  CHECK(allocator.statistics().in_use == 0);
  allocator.release_unused();
  CHECK(source.taken() == 0);
}

TEST_CASE("What was freed is handed out again, so that a step like the last one takes nothing from the source") {
  HostMemory source(1000 * mib);
  CachingAllocator allocator(source);
  const auto step = [&] {
    std::vector<void*> blocks;
    for (const Bytes bytes : {Bytes{1}, 500 * kib, 3 * mib, 77 * mib, 2 * kib, 12 * mib})
      blocks.push_back(allocator.allocate(bytes));
    for (void* block : blocks) allocator.deallocate(block);
    return blocks;
  };
  const auto first = step();
  const Bytes taken = source.taken();
  CHECK(step() == first);
  CHECK(source.taken() == taken);
}

TEST_CASE("Freed neighbours become one block again") {
  HostMemory source(20 * mib);
  CachingAllocator allocator(source);
  void* const a = allocator.allocate(4 * mib);
  void* const b = allocator.allocate(5 * mib);
  void* const c = allocator.allocate(6 * mib);
  CHECK(allocator.allocate(8 * mib) == nullptr);
  for (void* block : {a, c, b}) allocator.deallocate(block);
  CHECK(allocator.allocate(20 * mib) == a);
}

TEST_CASE("Before it gives up, it returns what nobody uses") {
  HostMemory source(100 * mib);
  CachingAllocator allocator(source);
  void* const small = allocator.allocate(1);
  allocator.deallocate(allocator.allocate(60 * mib));
  void* const large = allocator.allocate(90 * mib);
  CHECK(large != nullptr);
  CHECK(allocator.statistics().reserved == 92 * mib);
  CHECK(allocator.allocate(20 * mib) == nullptr);
  allocator.deallocate(small);
  allocator.deallocate(nullptr);
}
