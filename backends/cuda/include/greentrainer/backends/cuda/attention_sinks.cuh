#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/attention_sink_kernels.hpp"
#include "greentrainer/backends/cuda/device.hpp"
#include "greentrainer/backends/cuda/reductions.cuh"
#include "greentrainer/backends/cuda/shapes.hpp"

namespace greentrainer::cuda {

inline constexpr int sink_block = 128;
inline constexpr int sink_warps = sink_block / warp_size;

/// A warp a row and head, counted as row * heads + head.
template <class T>
__global__ void __launch_bounds__(sink_block)
    attention_sink_forward_kernel(Matrix<const T> sinks, Matrix<T> output, Matrix<T> stats, Extent head_dim) {
  const Extent number = static_cast<Extent>(blockIdx.x) * sink_warps + threadIdx.x / warp_size;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const bool there = number < stats.rows * stats.cols;
  const Extent r = there ? number / stats.cols : 0, h = there ? number % stats.cols : 0;
  T log_sum = there && lane == 0 ? stats.data[r * stats.stride + h] : T(0);
  log_sum = __shfl_sync(full_mask, log_sum, 0);  // read by the lane that writes it
  if (there) {
    const T sink = sinks.data[h], max = sink > log_sum ? sink : log_sum, before = std::exp(log_sum - max);
    const T sum = before + std::exp(sink - max), kept = before / sum;
    T* const out = output.data + r * output.stride + h * head_dim;
    for (Extent d = lane; d < head_dim; d += warp_size) out[d] *= kept;
    if (lane == 0) stats.data[r * stats.stride + h] = max + std::log(sum);
  }
}

/// A block a head; its warps share the rows.
template <class T>
__global__ void __launch_bounds__(sink_block)
    attention_sink_grad_kernel(Matrix<const T> sinks, Matrix<const T> output, Matrix<const T> stats,
                               Matrix<const T> grad_output, Matrix<T> grad_sinks, Extent head_dim) {
  GREENTRAINER_SHARED_ARRAY(T, by_warp, sink_warps);
  const Extent h = static_cast<Extent>(blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % warp_size, warp = static_cast<int>(threadIdx.x) / warp_size;
  T sum = T(0);
  for (Extent r = warp; r < stats.rows; r += sink_warps) {
    const T share = std::exp(sinks.data[h] - stats.data[r * stats.stride + h]);
    const T* const dy = grad_output.data + r * grad_output.stride + h * head_dim;
    const T* const y = output.data + r * output.stride + h * head_dim;
    T along = T(0);
    for (Extent d = lane; d < head_dim; d += warp_size) along += dy[d] * y[d];
    sum += share * along;
  }
  const T total = block_sum<sink_block>(sum, by_warp);
  if (threadIdx.x == 0) grad_sinks.data[h] -= total;
}

/// Throws ShapeError unless the three belong together.
template <class T, class Output, class Stats>
Extent sink_head_dim(std::string_view kernel, Matrix<const T> sinks, const Matrix<Output>& output,
                     const Matrix<Stats>& stats) {
  expect_shape(kernel, "sinks", sinks, 1, stats.cols);
  const Extent head_dim = stats.cols == 0 ? 0 : output.cols / stats.cols;
  expect_shape(kernel, "output", output, stats.rows, stats.cols * head_dim);
  return head_dim;
}

template <class T>
void AttentionSinkKernels<T>::attention_sink_forward(Matrix<const T> sinks, Matrix<T> output, Matrix<T> stats) {
  const Extent head_dim = sink_head_dim("attention_sink_forward", sinks, output, stats);
  launch(context_.stream(), grid_of(ceil_div(stats.rows * stats.cols, sink_warps)), sink_block, 0,
         attention_sink_forward_kernel<T>, sinks, output, stats, head_dim);
}
template <class T>
void AttentionSinkKernels<T>::attention_sink_grad(Matrix<const T> sinks, Matrix<const T> output, Matrix<const T> stats,
                                                  Matrix<const T> grad_output, Matrix<T> grad_sinks) {
  const Extent head_dim = sink_head_dim("attention_sink_grad", sinks, output, stats);
  expect_shape("attention_sink_grad", "grad_output", grad_output, output.rows, output.cols);
  launch(context_.stream(), grid_of(stats.cols), sink_block, 0, attention_sink_grad_kernel<T>, sinks, output, stats,
         grad_output, grad_sinks, head_dim);
}

}  // namespace greentrainer::cuda
