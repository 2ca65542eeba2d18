#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/sums.cuh"
#include "greentrainer/backends/cuda/update_kernels.hpp"

namespace greentrainer::cuda {

inline constexpr int update_block = 256;

/// torch.optim.AdamW: p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon).
template <class T>
struct AdamW {
  T decay, beta1, beta1_rest, beta2, beta2_rest, step_size, correction, epsilon;

  explicit AdamW(const AdamWStep& s)
      : decay(static_cast<T>(1 - s.learning_rate * s.weight_decay)),
        beta1(static_cast<T>(s.beta1)),
        beta1_rest(static_cast<T>(1 - s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        beta2_rest(static_cast<T>(1 - s.beta2)),
        step_size(static_cast<T>(s.learning_rate / (1 - std::pow(s.beta1, static_cast<double>(s.step))))),
        correction(static_cast<T>(std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step))))),
        epsilon(static_cast<T>(s.epsilon)) {}

  __device__ T first(T m, T g) const { return m * beta1 + g * beta1_rest; }
  __device__ T second(T v, T g) const { return v * beta2 + g * g * beta2_rest; }
  __device__ T parameter(T p, T m, T v) const {
    return p * decay - m / (std::sqrt(v) / correction + epsilon) * step_size;
  }
};

/// torch.optim.SGD: v = momentum v + (g + wd p); p = p - lr v.
template <class T>
struct Sgd {
  T learning_rate, momentum, weight_decay;

  explicit Sgd(const SgdStep& s)
      : learning_rate(static_cast<T>(s.learning_rate)),
        momentum(static_cast<T>(s.momentum)),
        weight_decay(static_cast<T>(s.weight_decay)) {}

  __device__ T direction(T p, T g, T v) const { return v * momentum + (g + p * weight_decay); }
  __device__ T parameter(T p, T v) const { return p - v * learning_rate; }
};

/// Zeros where there is nothing to read.
template <int N, class T>
__device__ Vector<T, N> load_or_zero(const T* x, Extent i) {
  if (x == nullptr) return {};
  return load<N>(x + i);
}

/// Moments are read from `first` and `second` (null: zero) and written to `new_first` and `new_second` (null: nowhere),
/// which may be the same.
template <int N, class T>
__global__ void __launch_bounds__(update_block)
    adamw_kernel(AdamW<T> update, Extent count, T* parameter, const T* gradient, const T* first, const T* second,
                 T* new_first, T* new_second) {
  for_own_elements<N, update_block>(count, [=]<int n>(Extent i, Width<n>) {
    const Vector<T, n> g = load<n>(gradient + i);
    Vector<T, n> p = load<n>(parameter + i), m = load_or_zero<n>(first, i), v = load_or_zero<n>(second, i);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      m.at[k] = update.first(m.at[k], g.at[k]);
      v.at[k] = update.second(v.at[k], g.at[k]);
      p.at[k] = update.parameter(p.at[k], m.at[k], v.at[k]);
    }
    if (new_first != nullptr) store(new_first + i, m);
    if (new_second != nullptr) store(new_second + i, v);
    store(parameter + i, p);
  });
}

/// The same with a velocity.
template <int N, class T>
__global__ void __launch_bounds__(update_block)
    sgd_kernel(Sgd<T> update, Extent count, T* parameter, const T* gradient, const T* velocity, T* new_velocity) {
  for_own_elements<N, update_block>(count, [=]<int n>(Extent i, Width<n>) {
    const Vector<T, n> g = load<n>(gradient + i);
    Vector<T, n> p = load<n>(parameter + i), v = load_or_zero<n>(velocity, i);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      v.at[k] = update.direction(p.at[k], g.at[k], v.at[k]);
      p.at[k] = update.parameter(p.at[k], v.at[k]);
    }
    if (new_velocity != nullptr) store(new_velocity + i, v);
    store(parameter + i, p);
  });
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
void UpdateKernels<T>::adamw(Extent n, T* parameter, const T* gradient, const T* first, const T* second, T* new_first,
                             T* new_second, const AdamWStep& step) {
  const auto run = [&]<int width>(Width<width>) {
    launch(context_.stream(), grid_of(ceil_div(n, update_block * width)), update_block, 0, adamw_kernel<width, T>,
           AdamW<T>(step), n, parameter, gradient, first, second, new_first, new_second);
  };
  with_width<T>(run, parameter, gradient, first, second);
}
template <class T>
void UpdateKernels<T>::adamw_step(Extent n, T* parameter, const T* gradient, T* first_moment, T* second_moment,
                                  const AdamWStep& step) {
  adamw(n, parameter, gradient, first_moment, second_moment, first_moment, second_moment, step);
}
template <class T>
void UpdateKernels<T>::adamw_candidate(Extent n, T* parameter, const T* gradient, const T* first_moment,
                                       const T* second_moment, const AdamWStep& step) {
  adamw(n, parameter, gradient, first_moment, second_moment, nullptr, nullptr, step);
}

template <class T>
void UpdateKernels<T>::sgd(Extent n, T* parameter, const T* gradient, const T* velocity, T* new_velocity,
                           const SgdStep& step) {
  if (step.first || step.momentum == 0) velocity = nullptr;
  const auto run = [&]<int width>(Width<width>) {
    launch(context_.stream(), grid_of(ceil_div(n, update_block * width)), update_block, 0, sgd_kernel<width, T>,
           Sgd<T>(step), n, parameter, gradient, velocity, new_velocity);
  };
  with_width<T>(run, parameter, gradient, velocity, new_velocity);
}
template <class T>
void UpdateKernels<T>::sgd_step(Extent n, T* parameter, const T* gradient, T* velocity, const SgdStep& step) {
  sgd(n, parameter, gradient, velocity, velocity, step);
}
template <class T>
void UpdateKernels<T>::sgd_candidate(Extent n, T* parameter, const T* gradient, const T* velocity,
                                     const SgdStep& step) {
  sgd(n, parameter, gradient, velocity, nullptr, step);
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
