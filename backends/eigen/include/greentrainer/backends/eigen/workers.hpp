#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "greentrainer/backends/eigen/rounding.hpp"
#include "greentrainer/backends/eigen/thread_pool.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::eigen {

/// A cache line, and a vector of the widest instruction set.
inline constexpr std::size_t alignment = 64;

/// Throws BackendError if there is no such amount of memory.
inline void* allocate_aligned(Bytes bytes) {
  constexpr Bytes address_space = Bytes{1} << 47;  // sanitizers end the program when asked for more
  const bool possible = bytes >= 0 && bytes < address_space;
  void* memory =
      !possible ? nullptr : ::operator new (static_cast<std::size_t>(bytes), std::align_val_t{alignment}, std::nothrow);
  if (memory == nullptr)
    throw BackendError("EigenBackend::allocate", "memory",
                       text("expected ", bytes, " bytes, got fewer from the system; use a smaller batch"));
  return memory;
}
inline void deallocate_aligned(void* memory) noexcept { ::operator delete (memory, std::align_val_t{alignment}); }

/// Memory that kernels scribble on: grows to the largest request and stays, so that a step like the last one allocates
/// nothing.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { deallocate_aligned(data_); }

  void reserve(Bytes bytes) {
    if (bytes <= bytes_) return;
    deallocate_aligned(std::exchange(data_, nullptr));
    bytes_ = 0;
    data_ = allocate_aligned(bytes);
    bytes_ = bytes;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  Bytes bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  Bytes bytes_ = 0;
};

/// The threads of a backend and their scratch memory: one piece each, and one for all.
class Workers {
 public:
  explicit Workers(int threads) : pool_(threads), own_(static_cast<std::size_t>(pool_.size())) {}

  int size() const { return pool_.size(); }
  Bytes scratch_bytes() const {
    Bytes bytes = shared_.bytes();
    for (const Scratch& scratch : own_) bytes += scratch.bytes();
    return bytes;
  }

  template <class Run>
  void parallel_for(Extent tasks, Run&& run) {
    pool_.parallel_for(tasks, run);
  }

  /// Calls run(first, count, worker) for chunks of [0, n). Chunks follow from n and `cost` (elements an item, say)
  /// alone.
  template <class Run>
  void for_chunks(Extent n, Extent cost, Run&& run) {
    const Extent chunk = std::max<Extent>(1, elements_a_task / std::max<Extent>(1, cost));
    pool_.parallel_for(ceil_div(n, chunk),
                       [&](Extent task, int worker) { run(task * chunk, std::min(chunk, n - task * chunk), worker); });
  }

  /// Calls run(first, count) for chunks of n elements; `first` is a multiple of every vector's length.
  template <class Run>
  void for_elements(Extent n, Run&& run) {
    pool_.parallel_for(ceil_div(n, elements_a_task), [&](Extent task, int) {
      run(task * elements_a_task, std::min(elements_a_task, n - task * elements_a_task));
    });
  }

  /// Sum of run(first, count), a double, over chunks of n elements, added up in order.
  template <class Run>
  double sum_over_elements(Extent n, Run&& run) {
    double* partial = shared<double>(ceil_div(n, elements_a_task));
    for_elements(n, [&](Extent first, Extent count) { partial[first / elements_a_task] = run(first, count); });
    double sum = 0;
    for (Extent chunk = 0; chunk < ceil_div(n, elements_a_task); ++chunk) sum += partial[chunk];
    return sum;
  }

  /// Gives every worker room for `count` elements. Called before parallel_for: nothing may throw inside it.
  template <class T>
  void reserve_each(Extent count) {
    for (Scratch& scratch : own_) scratch.reserve(count * static_cast<Bytes>(sizeof(T)));
  }
  template <class T>
  T* scratch(int worker) {
    return own_[static_cast<std::size_t>(worker)].as<T>();
  }
  /// Room for `count` elements that all workers see.
  template <class T>
  T* shared(Extent count) {
    shared_.reserve(count * static_cast<Bytes>(sizeof(T)));
    return shared_.as<T>();
  }

 private:
  /// Below this much work, waking a thread costs more than it brings.
  static constexpr Extent elements_a_task = Extent{1} << 14;

  ThreadPool pool_;
  std::vector<Scratch> own_;
  Scratch shared_;
};

/// Throws ShapeError unless `matrix` is (rows, cols).
template <class T>
void expect_shape(std::string_view kernel, std::string_view operand, const Matrix<T>& matrix, Extent rows,
                  Extent cols) {
  if (matrix.rows == rows && matrix.cols == cols) return;
  throw ShapeError(kernel, operand,
                   text("expected shape (", rows, ", ", cols, "), got (", matrix.rows, ", ", matrix.cols, ")"));
}

}  // namespace greentrainer::eigen
