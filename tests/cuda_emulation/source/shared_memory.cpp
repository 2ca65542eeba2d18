#include "cuda_emulation/source/shared_memory.hpp"

namespace greentrainer::cuda_emulation {

SharedMemory::SharedMemory(std::size_t dynamic_bytes) {
  arrays_.push_back({nullptr, "dynamic shared memory", GuardedMemory(dynamic_bytes)});
}

void* SharedMemory::array(const void* identity, const char* name, std::size_t bytes) {
  for (Array& array : arrays_) {
    if (array.identity == identity) return array.memory.data();
  }
  arrays_.push_back({identity, "shared array '" + std::string(name) + "'", GuardedMemory(bytes)});
  return arrays_.back().memory.data();
}

std::size_t SharedMemory::static_bytes() const {
  std::size_t bytes = 0;
  for (const Array& array : arrays_) {
    if (array.identity != nullptr) bytes += array.memory.size();
  }
  return bytes;
}

void SharedMemory::renew() {
  for (Array& array : arrays_) array.memory.renew();
}

std::string SharedMemory::damage() const {
  for (const Array& array : arrays_) {
    if (!array.memory.surroundings_intact()) return array.name;
  }
  return "";
}

std::string SharedMemory::describe(const void* address) const {
  for (const Array& array : arrays_) {
    if (array.memory.owns(address)) return array.memory.describe(address, array.name);
  }
  return "";
}

}  // namespace greentrainer::cuda_emulation
