#pragma once

#include <algorithm>
#include <cmath>

#include "greentrainer/backends/cuda/clamped_gate_kernels.hpp"
#include "greentrainer/backends/cuda/device.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"

namespace greentrainer::cuda {

inline constexpr int clamped_gate_block = 256;

/// A pair of numbers, limited. NaN stays NaN.
template <class T>
struct ClampedPair {
  /// The gate comes first: a division of doubles is a call, across which little else should live.
  __device__ ClampedPair(const ClampedGate& clamped, const T* pair) {
    const T limit = static_cast<T>(clamped.limit);
    gate = pair[0] > limit ? limit : pair[0];
    scaled = gate * static_cast<T>(clamped.slope);
    open = T(1) / (T(1) + std::exp(-scaled));
    const T raw_up = pair[1];
    up = raw_up > limit ? limit : raw_up < -limit ? -limit : raw_up;
  }
  T gate, up, scaled, open;
};

/// Blocks: x along the pairs of a row, y along the rows.
template <class T>
__global__ void __launch_bounds__(clamped_gate_block)
    clamped_gate_forward_kernel(ClampedGate clamped, Matrix<const T> x, Matrix<T> y) {
  const Extent c = static_cast<Extent>(blockIdx.x) * clamped_gate_block + threadIdx.x;
  if (c >= y.cols) return;
  for (Extent r = blockIdx.y; r < y.rows; r += gridDim.y) {
    const T* const pair = x.data + r * x.stride + 2 * c;
    const ClampedPair<T> p(clamped, pair);
    y.data[r * y.stride + c] = (p.up + T(1)) * (p.gate * p.open);
  }
}

template <class T>
__global__ void __launch_bounds__(clamped_gate_block)
    clamped_gate_grad_kernel(ClampedGate clamped, Matrix<const T> grad_output, Matrix<const T> x, Matrix<T> grad_x) {
  const Extent c = static_cast<Extent>(blockIdx.x) * clamped_gate_block + threadIdx.x;
  if (c >= grad_output.cols) return;
  for (Extent r = blockIdx.y; r < grad_output.rows; r += gridDim.y) {
    const T* const pair = x.data + r * x.stride + 2 * c;
    const ClampedPair<T> p(clamped, pair);
    const T dy = grad_output.data[r * grad_output.stride + c];
    const T grad_gate = dy * (p.up + T(1)) * (p.open * (T(1) + p.scaled * (T(1) - p.open)));
    const T grad_up = dy * (p.gate * p.open);
    const T limit = static_cast<T>(clamped.limit), raw_gate = pair[0], raw_up = pair[1];
    T* const to = grad_x.data + r * grad_x.stride + 2 * c;  // `pair` itself, where it is done in place
    to[0] = raw_gate > limit ? T(0) : grad_gate;
    to[1] = raw_up > limit || raw_up < -limit ? T(0) : grad_up;
  }
}

inline dim3 clamped_gate_grid(Extent rows, Extent cols) {
  return grid_of(ceil_div(cols, clamped_gate_block), std::min<Extent>(rows, 65535));
}

template <class T>
void ClampedGateKernels<T>::clamped_gate_forward(const ClampedGate& clamped, Matrix<const T> x, Matrix<T> y) {
  expect_shape("clamped_gate_forward", "pairs", x, y.rows, 2 * y.cols);
  launch(context_.stream(), clamped_gate_grid(y.rows, y.cols), clamped_gate_block, 0, clamped_gate_forward_kernel<T>,
         clamped, x, y);
}
template <class T>
void ClampedGateKernels<T>::clamped_gate_grad(const ClampedGate& clamped, Matrix<const T> grad_output,
                                              Matrix<const T> x, Matrix<T> grad_x) {
  expect_shape("clamped_gate_grad", "pairs", x, grad_output.rows, 2 * grad_output.cols);
  expect_shape("clamped_gate_grad", "gradient", grad_x, x.rows, x.cols);
  launch(context_.stream(), clamped_gate_grid(grad_output.rows, grad_output.cols), clamped_gate_block, 0,
         clamped_gate_grad_kernel<T>, clamped, grad_output, x, grad_x);
}

}  // namespace greentrainer::cuda
