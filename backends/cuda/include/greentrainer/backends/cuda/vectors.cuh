#pragma once

#include <cstdint>

#include "greentrainer/backends/cuda/device.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// N elements that are read or written at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  T at[N];
};

/// How many elements a thread takes at once, as a type.
template <int N>
struct Width {};

/// Elements of the widest access a thread can make: 16 bytes.
template <class T>
inline constexpr int widest = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ Vector<T, N> load(const T* from) {
  return *reinterpret_cast<const Vector<T, N>*>(from);
}
template <int N, class T>
__device__ void store(T* to, const Vector<T, N>& vector) {
  *reinterpret_cast<Vector<T, N>*>(to) = vector;
}

template <class T, int N>
__device__ Vector<T, N> sum(Vector<T, N> a, const Vector<T, N>& b) {
#pragma unroll
  for (int i = 0; i < N; ++i) a.at[i] += b.at[i];
  return a;
}

/// Calls visit(element, Width) for what this thread has of n elements: N in a row, or one by one those that are left at
/// the end.
template <int N, int Block, class Visit>
__device__ void for_own_elements(Extent n, Visit visit) {
  Extent i = (static_cast<Extent>(blockIdx.x) * Block + threadIdx.x) * N;
  if (i + N <= n) {
    visit(i, Width<N>{});
  } else {
    for (; i < n; ++i) visit(i, Width<1>{});
  }
}

/// Calls visit(column, Width) for what this thread has of a row of which the whole block takes care.
template <int N, int Block, class Visit>
__device__ void for_own_columns(Extent cols, Visit visit) {
  const Extent whole = cols - cols % N;
  for (Extent c = static_cast<Extent>(threadIdx.x) * N; c < whole; c += Block * N) visit(c, Width<N>{});
  for (Extent c = whole + threadIdx.x; c < cols; c += Block) visit(c, Width<1>{});
}

// Whether vectors of the widest access may start at this address, in every row of this matrix, and whether they fill so
// many elements.
template <class T>
bool takes_vectors(const T* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}
template <class T>
bool takes_vectors(const Matrix<T>& m) {
  return takes_vectors(m.data) && (m.rows <= 1 || m.stride % widest<T> == 0);
}
template <class T>
struct Filled {
  Extent elements;
};
template <class T>
bool takes_vectors(Filled<T> filled) {
  return filled.elements % widest<T> == 0;
}

/// Calls run(Width): the widest if every operand takes it, else one element. Results depend on it in the order of sums
/// alone.
template <class T, class Run, class... Operands>
void with_width(Run run, const Operands&... operands) {
  if ((takes_vectors(operands) && ...)) {
    run(Width<widest<T>>{});
  } else {
    run(Width<1>{});
  }
}

}  // namespace greentrainer::cuda
