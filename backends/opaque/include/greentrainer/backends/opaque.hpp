#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "greentrainer/backends/counting/kernel_forwarder.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// Wraps a backend of host memory so that it behaves like a device: the addresses it gives out lie where no process has
/// memory, so a host that dereferences one crashes at that spot, and a kernel that is given an address of the host's
/// throws. Pointer arithmetic works as ever.
template <Backend B>
class OpaqueBackend : public KernelForwarder<OpaqueBackend<B>, typename B::Scalar> {
 public:
  using Scalar = typename B::Scalar;
  static constexpr bool reads_stored_weights = ReadsStoredWeights<B>;

  /// Arguments are the wrapped backend's.
  template <class... Arguments>
  requires std::constructible_from<B, Arguments...>
  explicit OpaqueBackend(Arguments&&... arguments) : inner_(std::forward<Arguments>(arguments)...) {}

  std::string name() const { return "opaque " + inner_.name(); }
  B& inner() { return inner_; }

  void* allocate(Bytes bytes) { return moved(inner_.allocate(bytes), shift); }
  void deallocate(void* memory, Bytes bytes) noexcept {
    inner_.deallocate(memory == nullptr ? nullptr : moved(memory, -shift), bytes);
  }
  void copy_from_host(void* to, const void* from, Bytes bytes) { inner_.copy_from_host(real(to), from, bytes); }
  void copy_to_host(void* to, const void* from, Bytes bytes) { inner_.copy_to_host(to, real(from), bytes); }
  void copy(void* to, const void* from, Bytes bytes) { inner_.copy(real(to), real(from), bytes); }
  void zero(void* to, Bytes bytes) { inner_.zero(real(to), bytes); }
  void synchronize() { inner_.synchronize(); }

 private:
  friend class KernelForwarder<OpaqueBackend<B>, Scalar>;

  // Above what user space reaches on x86-64 and AArch64, below the top byte, which some processors ignore.
  static constexpr std::intptr_t shift = std::intptr_t{1} << 55;

  template <class Call, class... Arguments>
  void around(std::string_view, Flops, Call call, const Arguments&... arguments) {
    call(inner_, real(arguments)...);
  }
  /// Counts nothing, so it need not know.
  static Extent visible_pairs(const AttentionShape&) { return 0; }

  template <class U>
  static U* moved(U* pointer, std::intptr_t by) {
    return reinterpret_cast<U*>(reinterpret_cast<std::intptr_t>(pointer) + by);
  }
  template <class U>
  static U* real(U* pointer) {
    if (pointer == nullptr) return nullptr;
    if (reinterpret_cast<std::intptr_t>(pointer) < shift) {
      throw BackendError("OpaqueBackend", text("address ", static_cast<const void*>(pointer)),
                         "expected memory of this backend, got the host's; copy it over first");
    }
    return moved(pointer, -shift);
  }
  template <class U>
  static Matrix<U> real(const Matrix<U>& m) {
    return {real(m.data), m.rows, m.cols, m.stride};
  }
  static StoredMatrix real(StoredMatrix m) {
    m.data = real(m.data);
    return m;
  }
  static SequenceView real(SequenceView sequences) {
    sequences.begins = real(sequences.begins);
    sequences.ends = real(sequences.ends);
    return sequences;
  }
  static AttentionShape real(AttentionShape shape) {
    shape.queries = real(shape.queries);
    shape.keys = real(shape.keys);
    shape.positions = real(shape.positions);
    return shape;
  }
  template <class Value>
  requires(!std::is_pointer_v<Value>) static const Value& real(const Value& value) { return value; }

  B inner_;
};

}  // namespace greentrainer
