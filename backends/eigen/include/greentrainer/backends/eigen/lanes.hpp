#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <Eigen/Core>

#include "greentrainer/core/types.hpp"

namespace greentrainer::eigen {

/// Elements that element-wise kernels take at a time: 64 bytes on every machine, so that what is summed with what does
/// not depend on the instruction set. The last, partial group of a row goes through the same arithmetic, padded: an
/// element's bits depend on neither its place nor its address, which Eigen's own loops over long arrays do not promise.
template <class T>
inline constexpr Extent lanes = static_cast<Extent>(64 / sizeof(T));

template <class T>
using Lanes = Eigen::Array<T, static_cast<int>(lanes<T>), 1>;

template <class T>
Lanes<T> load(const T* from) {
  return Eigen::Map<const Lanes<T>>(from);
}
template <class T>
Lanes<T> load(const T* from, Extent count, T fill = T(0)) {
  if (count == lanes<T>) return load(from);
  Lanes<T> x = Lanes<T>::Constant(fill);
  std::memcpy(x.data(), from, static_cast<std::size_t>(count) * sizeof(T));
  return x;
}
template <class T>
void store(T* to, const Lanes<T>& x) {
  Eigen::Map<Lanes<T>>{to} = x;
}
template <class T>
void store(T* to, const Lanes<T>& x, Extent count) {
  if (count == lanes<T>) return store(to, x);
  std::memcpy(to, x.data(), static_cast<std::size_t>(count) * sizeof(T));
}

/// y[i] = f(x[i]...) over n elements, `f` on Lanes. y may be one of the x.
template <class T, class F, class... X>
void map_lanes(Extent n, T* y, F f, const X*... x) {
  Extent i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) store<T>(y + i, f(load<T>(x + i)...));
  if (i < n) store<T>(y + i, f(load<T>(x + i, n - i)...), n - i);
}

/// Sums over n elements of each entry of f(x[i]...), an array of Lanes. The last group is padded with `fill`, for which
/// f must be zero. Partial sums move to double every 1024 elements, so that rounding does not grow with n.
template <class T, std::size_t N, class F, class... X>
std::array<double, N> sum_lanes(Extent n, T fill, F f, const X*... x) {
  std::array<double, N> total{};
  for (Extent first = 0; first < n; first += 1024) {
    const Extent end = std::min<Extent>(n, first + 1024);
    std::array<Lanes<T>, N> sum;
    for (Lanes<T>& s : sum) s.setZero();
    const auto add = [&](const std::array<Lanes<T>, N>& terms) {
      for (std::size_t k = 0; k < N; ++k) sum[k] += terms[k];
    };
    Extent i = first;
    for (; i + lanes<T> <= end; i += lanes<T>) add(f(load<T>(x + i)...));
    if (i < end) add(f(load<T>(x + i, end - i, fill)...));
    for (std::size_t k = 0; k < N; ++k) total[k] += static_cast<double>(sum[k].sum());
  }
  return total;
}

}  // namespace greentrainer::eigen
