#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "cuda_emulation/source/guarded_memory.hpp"

namespace greentrainer::cuda_emulation {

/// Shared memory of the block that runs. Arrays are known once a block has asked for them, and stay for the blocks of
/// the launch that follow.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t dynamic_bytes);

  void* dynamic() const { return arrays_.front().memory.data(); }
  /// The array of that identity. The first call for it makes it.
  void* array(const void* identity, const char* name, std::size_t bytes);
  std::size_t static_bytes() const;

  /// NaNs everywhere.
  void renew();
  /// What was written around, or empty.
  std::string damage() const;
  /// What an address in or around an array means, or empty.
  std::string describe(const void* address) const;

 private:
  struct Array {
    const void* identity;
    std::string name;
    GuardedMemory memory;
  };
  std::deque<Array> arrays_;  // the first is the dynamic memory
};

}  // namespace greentrainer::cuda_emulation
