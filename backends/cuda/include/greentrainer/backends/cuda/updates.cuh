#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <variant>

#include "greentrainer/backends/cuda/sums.cuh"
#include "greentrainer/backends/cuda/update_kernels.hpp"

namespace greentrainer::cuda {

inline constexpr int update_block = 256;

/// Zeros where there is nothing to read.
template <int N, class T>
__device__ Vector<T, N> load_or_zero(const T* x, Extent i) {
  if (x == nullptr) return {};
  return load<N>(x + i);
}

/// One update of `count` elements; K: the numbers that the rule keeps for each.
template <int N, class R, class T, std::size_t... K>
__global__ void __launch_bounds__(update_block) update_kernel(R rule, Extent count, T* parameter, const T* gradient,
                                                              UpdateState<T> state, std::index_sequence<K...>) {
  for_own_elements<N, update_block>(count, [=]<int n>(Extent i, Width<n>) {
    const Vector<T, n> g = load<n>(gradient + i);
    Vector<T, n> p = load<n>(parameter + i);
    [[maybe_unused]] Vector<T, n> kept[sizeof...(K) + 1] = {load_or_zero<n>(state.from[K], i)...};
#pragma unroll
    for (int k = 0; k < n; ++k) rule(p.at[k], g.at[k], kept[K].at[k]...);
    ((state.to[K] == nullptr ? void() : store(state.to[K] + i, kept[K])), ...);
    store(parameter + i, p);
  });
}

/// Starts update_kernel for any rule.
template <class R, class T>
void run_update(Stream stream, Extent n, const R& rule, T* parameter, const T* gradient, const UpdateState<T>& state) {
  const auto run = [&]<int width, std::size_t... K>(Width<width>, std::index_sequence<K...> slots) {
    launch(stream, grid_of(ceil_div(n, update_block * width)), update_block, 0, update_kernel<width, R, T, K...>, rule,
           n, parameter, gradient, state, slots);
  };
  constexpr auto slots = std::make_index_sequence<R::state.size()>();
  with_width<T>([&](auto width) { run(width, slots); }, parameter, gradient, state.from[0], state.from[1],
                state.from[2], state.from[3], state.to[0], state.to[1], state.to[2], state.to[3]);
}

template <class T>
struct SquareTerm {
  static constexpr int operands = 1;
  __device__ static T value(T x, T, T) { return x * x; }
};
template <class T>
struct NonFiniteTerm {
  static constexpr int operands = 1;
  __device__ static T value(T x, T, T) { return std::isfinite(x) ? T(0) : T(1); }
};
template <class T>
struct UpdateTerm {
  static constexpr int operands = 3;
  __device__ static T value(T gradient, T updated, T before) { return gradient * (updated - before); }
};

template <class T>
void UpdateKernels<T>::update(Extent n, const CompiledRule<T>& rule, T* parameter, const T* gradient,
                              const UpdateState<T>& state) {
  std::visit([&](const auto& one) { run_update(context_.stream(), n, one, parameter, gradient, state); }, rule);
}

template <class T>
void UpdateKernels<T>::update_dot(Extent n, const T* gradient, const T* updated, const T* before, double* result) {
  add_sum_of_terms<UpdateTerm<T>>(context_, n, gradient, updated, before, result);
}
template <class T>
void UpdateKernels<T>::sum_of_squares(Extent n, const T* x, double* result) {
  add_sum_of_terms<SquareTerm<T>, T>(context_, n, x, nullptr, nullptr, result);
}
template <class T>
void UpdateKernels<T>::count_non_finite(Extent n, const T* x, double* result) {
  add_sum_of_terms<NonFiniteTerm<T>, T>(context_, n, x, nullptr, nullptr, result);
}

}  // namespace greentrainer::cuda
