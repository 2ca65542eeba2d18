#include "cuda_emulation/source/allocations.hpp"

#include <iterator>
#include <utility>

namespace greentrainer::cuda_emulation {

void* Allocations::allocate(std::size_t bytes) {
  GuardedMemory memory(bytes);
  void* const address = memory.data();
  live_.emplace(address, std::move(memory));
  live_bytes_ += bytes;
  return address;
}

bool Allocations::free(void* memory) {
  const auto at = live_.find(memory);
  if (at == live_.end()) return false;
  live_bytes_ -= at->second.size();
  at->second.retire();
  freed_.insert(live_.extract(at));
  return true;
}

const GuardedMemory* Allocations::find(const ByAddress& allocations, const void* address) {
  const auto next = allocations.upper_bound(address);
  if (next != allocations.end() && next->second.owns(address)) return &next->second;
  if (next != allocations.begin() && std::prev(next)->second.owns(address)) return &std::prev(next)->second;
  return nullptr;
}

bool Allocations::holds(const void* memory, std::size_t bytes) const {
  const GuardedMemory* found = find(live_, memory);
  return found != nullptr && found->holds(memory, bytes);
}

std::string Allocations::describe(const void* address) const {
  if (const GuardedMemory* found = find(live_, address)) return found->describe(address, name_);
  if (const GuardedMemory* found = find(freed_, address)) return found->describe(address, "freed " + name_);
  return "";
}

std::string Allocations::damage() const {
  for (const auto& [address, memory] : live_) {
    if (!memory.surroundings_intact()) return name_ + " (" + std::to_string(memory.size()) + " bytes)";
  }
  return "";
}

void Allocations::set_access(bool access) const {
  for (const auto& [address, memory] : live_) memory.set_access(access);
}

}  // namespace greentrainer::cuda_emulation
