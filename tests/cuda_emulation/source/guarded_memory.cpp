#include "cuda_emulation/source/guarded_memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <sstream>
#include <sys/mman.h>
#include <utility>

#include "cuda_emulation/source/sanitizers.hpp"

namespace greentrainer::cuda_emulation {

namespace {

constexpr std::size_t page = 4096, alignment = 16;
constexpr std::size_t guard = std::size_t{1} << 20;  // a stray index tends to be off by a row or two

constexpr std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

/// Around the memory: NaNs, too, but others than in it.
std::byte paint(const std::byte* at) {
  return std::byte{reinterpret_cast<std::uintptr_t>(at) % 2 == 0 ? std::uint8_t{0xf5} : std::uint8_t{0xff}};
}

}  // namespace

GuardedMemory::GuardedMemory(std::size_t bytes)
    : bytes_(bytes), page_bytes_(round_up(std::max(bytes, alignment), page)) {
  void* mapping = mmap(nullptr, page_bytes_ + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(mapping);
  pages_ = mapping_ + guard;
  data_ = pages_ + page_bytes_ - round_up(bytes_, alignment);
  set_access(true);
  std::memset(data_, 0xff, bytes_);
  paint_surroundings();
}

GuardedMemory::GuardedMemory(GuardedMemory&& other) noexcept
    : bytes_(other.bytes_),
      page_bytes_(other.page_bytes_),
      mapping_(std::exchange(other.mapping_, nullptr)),
      pages_(other.pages_),
      data_(other.data_) {}

GuardedMemory::~GuardedMemory() {
  if (mapping_ == nullptr) return;
  allow(pages_, page_bytes_);
  munmap(mapping_, page_bytes_ + 2 * guard);
}

void GuardedMemory::renew() {
  if (thread_sanitizer) {  // a new mapping has no history
    mmap(pages_, page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    paint_surroundings();
  }
  std::memset(data_, 0xff, bytes_);
}

void GuardedMemory::paint_surroundings() const {
  const auto fill = [](std::byte* begin, std::byte* end) {
    for (std::byte* at = begin; at != end; ++at) *at = paint(at);
    forbid(begin, static_cast<std::size_t>(end - begin));
  };
  fill(pages_, data_);
  fill(data_ + bytes_, pages_ + page_bytes_);
}

bool GuardedMemory::surroundings_intact() const {
  if (address_sanitizer) return true;
  const auto intact = [](const std::byte* begin, const std::byte* end) {
    const auto bytes = static_cast<std::size_t>(end - begin);
    for (std::size_t i = 0; i < std::min<std::size_t>(bytes, 2); ++i) {
      if (begin[i] != paint(begin + i)) return false;
    }
    return bytes <= 2 || std::memcmp(begin, begin + 2, bytes - 2) == 0;  // the pattern repeats every two bytes
  };
  return intact(pages_, data_) && intact(data_ + bytes_, pages_ + page_bytes_);
}

void GuardedMemory::set_access(bool access) const {
  mprotect(pages_, page_bytes_, access ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void GuardedMemory::retire() {
  allow(pages_, page_bytes_);
  mmap(pages_, page_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

bool GuardedMemory::holds(const void* address, std::size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(address);
  return at >= data_ && at <= data_ + bytes_ && bytes <= static_cast<std::size_t>(data_ + bytes_ - at);
}

bool GuardedMemory::owns(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  return at >= mapping_ && at < mapping_ + page_bytes_ + 2 * guard;
}

std::string GuardedMemory::describe(const void* address, const std::string& name) const {
  const auto* at = static_cast<const std::byte*>(address);
  std::ostringstream out;
  if (at < data_) {
    out << data_ - at << " bytes before " << name;
  } else if (at < data_ + bytes_) {
    out << "byte " << at - data_ << " of " << name;
  } else {
    out << at - (data_ + bytes_) << " bytes behind the end of " << name;
  }
  out << " (" << bytes_ << " bytes)";
  return out.str();
}

}  // namespace greentrainer::cuda_emulation
