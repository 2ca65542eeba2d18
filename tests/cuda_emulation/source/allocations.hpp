#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "cuda_emulation/source/guarded_memory.hpp"

namespace greentrainer::cuda_emulation {

/// Memory of one kind that was handed out. What was freed is remembered, and its addresses are not used again.
class Allocations {
 public:
  explicit Allocations(std::string name) : name_(std::move(name)) {}

  /// Throws std::bad_alloc.
  void* allocate(std::size_t bytes);
  /// False if nothing live begins there.
  bool free(void* memory);

  /// Whether so many bytes lie in one live allocation.
  bool holds(const void* memory, std::size_t bytes) const;
  /// Whether an address lies in or around an allocation, live or freed.
  bool knows(const void* address) const { return find(live_, address) != nullptr || find(freed_, address) != nullptr; }
  /// Such an address: "12 bytes behind the end of device memory (1024 bytes)"; empty for others.
  std::string describe(const void* address) const;
  /// The allocation that someone wrote around, or empty.
  std::string damage() const;
  void set_access(bool access) const;

  std::size_t live() const { return live_.size(); }
  std::size_t live_bytes() const { return live_bytes_; }

 private:
  using ByAddress = std::map<const void*, GuardedMemory>;
  static const GuardedMemory* find(const ByAddress& allocations, const void* address);

  std::string name_;
  ByAddress live_, freed_;
  std::size_t live_bytes_ = 0;
};

}  // namespace greentrainer::cuda_emulation
