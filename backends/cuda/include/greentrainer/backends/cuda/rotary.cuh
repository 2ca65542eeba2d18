#pragma once

#include <cmath>
#include <vector>

#include "greentrainer/backends/cuda/rotary_kernel.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

inline constexpr int rotary_block = 128;

/// Pairs (i, i + half) of every head of a row turn by positions[row] * frequencies[i]; `direction` is 1 or -1. One
/// block a row, whose sines and cosines it computes once, in double: a float holds no more than 7 digits of the angle,
/// and positions go into the thousands. y may be x.
template <int N, class T>
__global__ void __launch_bounds__(rotary_block)
    rotary_kernel(int heads, int half, const double* frequencies, const Index* positions, T direction, const T* x,
                  Extent x_stride, T* y, Extent y_stride) {
  GREENTRAINER_DYNAMIC_SHARED(T, cosines);  // (half), and as many sines behind them
  T* const sines = cosines + half;
  for (int i = static_cast<int>(threadIdx.x); i < half; i += rotary_block) {
    const double angle = positions[blockIdx.x] * frequencies[i];
    cosines[i] = static_cast<T>(std::cos(angle));
    sines[i] = direction * static_cast<T>(std::sin(angle));
  }
  __syncthreads();
  for (int pair = static_cast<int>(threadIdx.x) * N; pair < heads * half; pair += rotary_block * N) {
    const int i = pair % half, column = pair / half * 2 * half + i;
    const T* from = x + blockIdx.x * x_stride + column;
    T* to = y + blockIdx.x * y_stride + column;
    Vector<T, N> a = load<N>(from), b = load<N>(from + half);
    const Vector<T, N> cosine = load<N>(cosines + i), sine = load<N>(sines + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T before = a.at[k];
      a.at[k] = before * cosine.at[k] - b.at[k] * sine.at[k];
      b.at[k] = b.at[k] * cosine.at[k] + before * sine.at[k];
    }
    store(to, a);
    store(to + half, b);
  }
}

template <class T>
const double* RotaryKernel<T>::frequencies(Extent head_dim, double theta) {
  const auto found = frequencies_.find({head_dim, theta});
  if (found != frequencies_.end()) return found->second.data();
  std::vector<double> host(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < host.size(); ++i)
    host[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  const auto [made, is_new] = frequencies_.try_emplace({head_dim, theta}, context_, head_dim / 2);
  context_.copy_from_host(made->second.data(), host.data(), static_cast<Bytes>(host.size() * sizeof(double)));
  return made->second.data();
}

template <class T>
void RotaryKernel<T>::rotary(Matrix<const T> x, const Index* positions, Extent head_dim, double theta,
                             Rotation rotation, Matrix<T> y) {
  expect_shape("rotary", "output", y, x.rows, x.cols);
  if (head_dim < 2 || head_dim % 2 != 0 || x.cols % head_dim != 0) {
    throw ShapeError("rotary", "head_dim", text("expected an even divisor of ", x.cols, ", got ", head_dim));
  }
  const Extent half = head_dim / 2;
  const T direction = rotation == Rotation::forward ? T(1) : T(-1);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(x.rows), rotary_block, static_cast<std::size_t>(head_dim) * sizeof(T),
           rotary_kernel<n, T>, static_cast<int>(x.cols / head_dim), static_cast<int>(half),
           frequencies(head_dim, theta), positions, direction, x.data, x.stride, y.data, y.stride);
  };
  with_width<T>(run, x, y, Filled<T>{half});
}

}  // namespace greentrainer::cuda
