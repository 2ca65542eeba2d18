#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace greentrainer::cuda_emulation {

/// Memory that cannot be left unnoticed: pages without access before and behind it, which it touches (sizes that are no
/// multiple of 16 leave up to 15 bytes), and a pattern in what is left of its own pages. Aligned to 16 bytes, and to
/// 256 if its size is a multiple of that.
class GuardedMemory {
 public:
  /// Filled with NaNs. Throws std::bad_alloc.
  explicit GuardedMemory(std::size_t bytes);
  GuardedMemory(GuardedMemory&& other) noexcept;
  GuardedMemory& operator=(GuardedMemory&&) = delete;
  ~GuardedMemory();

  std::byte* data() const { return data_; }
  std::size_t size() const { return bytes_; }

  /// As new: all bits set, which is a NaN as float, double and bfloat16, and -1 as an integer. To ThreadSanitizer
  /// nobody has touched it yet.
  void renew();
  /// Whether someone wrote around it where there is access. Always true with AddressSanitizer, which reports that
  /// itself.
  bool surroundings_intact() const;
  /// From now on (not) to be touched.
  void set_access(bool access) const;
  /// Gives its pages back for good; its addresses are never used again.
  void retire();

  bool holds(const void* address, std::size_t bytes) const;
  /// Whether an address lies here or in the pages around.
  bool owns(const void* address) const;
  /// Such an address relative to the memory: "12 bytes behind the end of NAME (1024 bytes)".
  std::string describe(const void* address, const std::string& name) const;

 private:
  void paint_surroundings() const;

  std::size_t bytes_;
  std::size_t page_bytes_;        ///< of the pages with access
  std::byte* mapping_ = nullptr;  ///< guard, pages with access, guard
  std::byte* pages_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace greentrainer::cuda_emulation
