#pragma once

#include <algorithm>
#include <concepts>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "greentrainer/backends/counting/kernel_forwarder.hpp"

namespace greentrainer {

/// What a kernel, or all of them, did.
struct KernelCount {
  Extent calls = 0;
  Flops flops = 0;
  Bytes bytes = 0;  ///< of the operands, each met once; index arrays and vectors beside matrices left out
};

/// What a backend's memory went through.
struct MemoryCount {
  Extent allocations = 0;
  Bytes live = 0;
  Bytes peak = 0;
  Bytes copied = 0;  ///< to, from and within the backend
};

/// Wraps a backend and counts what is asked of it: FLOPs from the arguments of each call, allocations and bytes. A call
/// that throws is not counted.
template <Backend B>
class CountingBackend : public KernelForwarder<CountingBackend<B>, typename B::Scalar> {
 public:
  using Scalar = typename B::Scalar;
  static constexpr bool reads_stored_weights = ReadsStoredWeights<B>;

  /// Arguments are the wrapped backend's.
  template <class... Arguments>
  requires std::constructible_from<B, Arguments...>
  explicit CountingBackend(Arguments&&... arguments) : inner_(std::forward<Arguments>(arguments)...) {}

  std::string name() const { return "counting " + inner_.name(); }
  std::string arithmetic_name() const requires requires(const B& inner) { inner.arithmetic_name(); }
  { return inner_.arithmetic_name(); }
  B& inner() { return inner_; }

  Flops flops() const { return total_.flops; }
  const KernelCount& total() const { return total_; }
  /// Kernels called since the last reset, by name.
  const std::map<std::string_view, KernelCount>& by_kernel() const { return by_kernel_; }
  const MemoryCount& memory() const { return memory_; }

  /// Forgets calls and allocations; live bytes stay what they are, and the peak starts from them.
  void reset() {
    total_ = {};
    by_kernel_.clear();
    memory_ = {.allocations = 0, .live = memory_.live, .peak = memory_.live, .copied = 0};
  }

  void* allocate(Bytes bytes) {
    void* memory = inner_.allocate(bytes);
    ++memory_.allocations;
    memory_.live += bytes;
    memory_.peak = std::max(memory_.peak, memory_.live);
    return memory;
  }
  void deallocate(void* memory, Bytes bytes) noexcept {
    inner_.deallocate(memory, bytes);
    if (memory != nullptr) memory_.live -= bytes;
  }
  void copy_from_host(void* to, const void* from, Bytes bytes) {
    inner_.copy_from_host(to, from, bytes);
    memory_.copied += bytes;
  }
  void copy_to_host(void* to, const void* from, Bytes bytes) {
    inner_.copy_to_host(to, from, bytes);
    memory_.copied += bytes;
  }
  void copy(void* to, const void* from, Bytes bytes) {
    inner_.copy(to, from, bytes);
    memory_.copied += bytes;
  }
  void zero(void* to, Bytes bytes) { inner_.zero(to, bytes); }
  void synchronize() { inner_.synchronize(); }

 private:
  friend class KernelForwarder<CountingBackend<B>, Scalar>;

  template <class Call, class... Arguments>
  void around(std::string_view kernel, Flops flops, Call call, const Arguments&... arguments) {
    call(inner_, arguments...);
    const Bytes bytes = bytes_of(arguments...);
    for (KernelCount* count : {&total_, &by_kernel_[kernel]}) {
      ++count->calls;
      count->flops += flops;
      count->bytes += bytes;
    }
  }

  /// Pairs of a query and a key it sees. Lengths and positions live in the backend's memory, so this asks for them: a
  /// decorator for tests may wait.
  Extent visible_pairs(const AttentionShape& shape) {
    const std::vector<Extent> queries = lengths(shape.queries), keys = lengths(shape.keys);
    const std::vector<Index> scattered = scattered_positions(shape);
    Extent pairs = 0;
    for (std::size_t s = 0, row = 0; s < queries.size(); ++s) {
      const Extent first = shape.first_position(queries[s], keys[s]);
      for (Extent q = 0; q < queries[s]; ++q, ++row) {
        const Extent position = scattered.empty() ? first + q : scattered[row];
        pairs += shape.keys_seen(position, keys[s]) - shape.first_key_seen(position);
      }
    }
    return pairs;
  }
  /// Of the queries of one sequence after the other; empty where they follow each other.
  std::vector<Index> scattered_positions(const AttentionShape& shape) {
    if (shape.positions == nullptr) return {};
    std::vector<Index> all;
    const std::vector<Index> begins = on_host(shape.queries.begins, shape.queries.count),
                             ends = on_host(shape.queries.ends, shape.queries.count);
    for (std::size_t s = 0; s < begins.size(); ++s) {
      const std::vector<Index> some = on_host(shape.positions + begins[s], ends[s] - begins[s]);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
  std::vector<Extent> lengths(const SequenceView& sequences) {
    const std::vector<Index> begins = on_host(sequences.begins, sequences.count),
                             ends = on_host(sequences.ends, sequences.count);
    std::vector<Extent> all;
    for (std::size_t s = 0; s < begins.size(); ++s) all.push_back(ends[s] - begins[s]);
    return all;
  }
  std::vector<Index> on_host(const Index* indices, Extent count) {
    std::vector<Index> host(static_cast<std::size_t>(count));
    if (count > 0) inner_.copy_to_host(host.data(), indices, static_cast<Bytes>(host.size() * sizeof(Index)));
    return host;
  }

  // Kernels over n elements name n first; their vectors have that length.
  template <class... Rest>
  static Bytes bytes_of(Extent n, const Rest&... rest) {
    const auto of = [n](const auto& argument) -> Bytes {
      if constexpr (std::is_convertible_v<decltype(argument), const Scalar*>)
        return argument == nullptr ? 0 : n * static_cast<Bytes>(sizeof(Scalar));
      else
        return 0;
    };
    return (of(rest) + ... + Bytes{0});
  }
  template <class... Arguments>
  static Bytes bytes_of(const Arguments&... arguments) {
    const auto of = [](const auto& argument) -> Bytes {
      if constexpr (requires { argument.stride; })
        return argument ? argument.size() * static_cast<Bytes>(sizeof(Scalar)) : 0;
      else
        return 0;
    };
    return (of(arguments) + ... + Bytes{0});
  }

  B inner_;
  KernelCount total_;
  std::map<std::string_view, KernelCount> by_kernel_;
  MemoryCount memory_;
};

}  // namespace greentrainer
