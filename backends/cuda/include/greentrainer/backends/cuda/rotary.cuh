#pragma once

#include <cmath>
#include <vector>

#include "greentrainer/backends/cuda/rotary_kernel.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"
#include "greentrainer/core/rotary_frequencies.hpp"

namespace greentrainer::cuda {

inline constexpr int rotary_block = 128;

/// The columns of a row's heads that rotary_kernel reads and writes.
struct RotaryColumns {
  int heads;
  int head_dim;
  int pairs;         ///< of columns that turn, in each head: the first 2 * pairs
  bool interleaved;  ///< pairs are neighbours, else `pairs` columns apart
};

/// Pairs of every head of a row turn by positions[row] * frequencies[pair] and grow by `amplitude`; `direction` is 1 or
/// -1. One block a row, whose sines and cosines it computes once, in double: a float holds no more than 7 digits of the
/// angle, and positions go into the thousands. y may be x. N > 1 is for pairs that are no neighbours.
template <int N, class T>
__global__ void __launch_bounds__(rotary_block)
    rotary_kernel(RotaryColumns columns, const double* frequencies, const Index* positions, T direction,
                  double amplitude, const T* x, Extent x_stride, T* y, Extent y_stride) {
  const int pairs = columns.pairs;
  GREENTRAINER_DYNAMIC_SHARED(T, cosines);  // (pairs), and as many sines behind them
  T* const sines = cosines + pairs;
  for (int i = static_cast<int>(threadIdx.x); i < pairs; i += rotary_block) {
    const double angle = positions[blockIdx.x] * frequencies[i];
    cosines[i] = static_cast<T>(amplitude * std::cos(angle));
    sines[i] = direction * static_cast<T>(amplitude * std::sin(angle));
  }
  __syncthreads();
  const T* const x_row = x + blockIdx.x * x_stride;
  T* const y_row = y + blockIdx.x * y_stride;
  for (int pair = static_cast<int>(threadIdx.x) * N; pair < columns.heads * pairs; pair += rotary_block * N) {
    const int i = pair % pairs, column = pair / pairs * columns.head_dim + (columns.interleaved ? 2 * i : i);
    const int second = column + (columns.interleaved ? 1 : pairs);
    Vector<T, N> a = load<N>(x_row + column), b = load<N>(x_row + second);
    const Vector<T, N> cosine = load<N>(cosines + i), sine = load<N>(sines + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T before = a.at[k];
      a.at[k] = before * cosine.at[k] - b.at[k] * sine.at[k];
      b.at[k] = b.at[k] * cosine.at[k] + before * sine.at[k];
    }
    store(y_row + column, a);
    store(y_row + second, b);
  }
  const int still = columns.head_dim - 2 * pairs;
  for (int k = static_cast<int>(threadIdx.x); k < columns.heads * still; k += rotary_block) {
    const int column = k / still * columns.head_dim + 2 * pairs + k % still;
    y_row[column] = x_row[column];
  }
}

template <class T>
const double* RotaryKernel<T>::frequencies(const RotaryShape& shape) {
  const auto found = frequencies_.find(shape);
  if (found != frequencies_.end()) return found->second.data();
  const std::vector<double> host = rotary_frequencies(shape);
  const auto [made, is_new] = frequencies_.try_emplace(shape, context_, shape.pairs());
  context_.copy_from_host(made->second.data(), host.data(), static_cast<Bytes>(host.size() * sizeof(double)));
  return made->second.data();
}

template <class T>
void RotaryKernel<T>::rotary(Matrix<const T> x, const Index* positions, const RotaryShape& shape, Rotation rotation,
                             Matrix<T> y) {
  expect_shape("rotary", "output", y, x.rows, x.cols);
  const Extent head_dim = shape.head_dim, columns = shape.columns();
  if (columns < 2 || columns % 2 != 0 || columns > head_dim || x.cols % head_dim != 0) {
    throw ShapeError("rotary", "columns that turn",
                     text("expected an even number of up to ", head_dim, ", a divisor of ", x.cols, ", got ", columns));
  }
  const RotaryColumns where{static_cast<int>(x.cols / head_dim), static_cast<int>(head_dim),
                            static_cast<int>(shape.pairs()), shape.interleaved};
  const T direction = rotation == Rotation::forward ? T(1) : T(-1);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(x.rows), rotary_block, static_cast<std::size_t>(columns) * sizeof(T),
           rotary_kernel<n, T>, where, frequencies(shape), positions, direction, shape.amplitude, x.data, x.stride,
           y.data, y.stride);
  };
  if (shape.interleaved) return run(Width<1>{});
  with_width<T>(run, x, y, Filled<T>{shape.pairs()}, Filled<T>{head_dim});
}

}  // namespace greentrainer::cuda
