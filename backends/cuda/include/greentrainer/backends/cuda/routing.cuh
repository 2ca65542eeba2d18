#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/map.cuh"
#include "greentrainer/backends/cuda/reductions.cuh"
#include "greentrainer/backends/cuda/routing_kernels.hpp"
#include "greentrainer/backends/cuda/shapes.hpp"

namespace greentrainer::cuda {

inline constexpr int routing_block = 128;

/// Whether expert a comes before expert b: by its logit, then by its number.
template <class T>
__device__ bool routed_before(const T* row, int a, int b) {
  return row[a] > row[b] || (row[a] == row[b] && a < b);
}

/// Weights of a row of logits. A thread a row: rows are short, and there are many.
template <class T>
__global__ void __launch_bounds__(routing_block)
    route_forward_kernel(RoutingShape routing, Matrix<const T> logits, Matrix<T> weights) {
  const Extent r = static_cast<Extent>(blockIdx.x) * routing_block + threadIdx.x;
  if (r >= logits.rows) return;
  const int experts = static_cast<int>(logits.cols);
  const T* row = logits.data + r * logits.stride;
  T* to = weights.data + r * weights.stride;
  T max = row[0], sum = T(0);
  for (int e = 1; e < experts; ++e) max = row[e] > max ? row[e] : max;
  for (int e = 0; e < experts; ++e) {
    int before = 0;
    for (int other = 0; other < experts; ++other) before += other != e && routed_before(row, other, e) ? 1 : 0;
    const T numerator = std::exp(row[e] - max);
    const bool chosen = before < routing.top_k;
    if (chosen || !routing.normalised) sum += numerator;
    to[e] = chosen ? numerator : T(0);
  }
  for (int e = 0; e < experts; ++e) to[e] /= sum;
}

/// Gradient of a row of logits, a thread each.
template <class T>
__global__ void __launch_bounds__(routing_block)
    route_grad_kernel(RoutingShape routing, Matrix<const T> grad_weights, Matrix<const T> logits,
                      Matrix<const T> weights, Matrix<T> grad_logits) {
  const Extent r = static_cast<Extent>(blockIdx.x) * routing_block + threadIdx.x;
  if (r >= weights.rows) return;
  const int experts = static_cast<int>(weights.cols);
  const T* dw = grad_weights.data + r * grad_weights.stride;
  const T* w = weights.data + r * weights.stride;
  T* to = grad_logits.data + r * grad_logits.stride;
  T along = T(0);
  for (int e = 0; e < experts; ++e) along += w[e] != T(0) ? dw[e] * w[e] : T(0);
  if (routing.normalised) {
    for (int e = 0; e < experts; ++e) to[e] = w[e] != T(0) ? w[e] * (dw[e] - along) : T(0);
    return;
  }
  const T* row = logits.data + r * logits.stride;
  T max = row[0], sum = T(0);
  for (int e = 1; e < experts; ++e) max = row[e] > max ? row[e] : max;
  for (int e = 0; e < experts; ++e) sum += std::exp(row[e] - max);
  for (int e = 0; e < experts; ++e) {
    const T grad_weight = w[e] != T(0) ? dw[e] : T(0);
    to[e] = std::exp(row[e] - max) / sum * (grad_weight - along);
  }
}

/// y (R, 1) = x . z of each row. A warp each.
template <class T>
__global__ void __launch_bounds__(routing_block) dot_rows_kernel(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
  const Extent r = static_cast<Extent>(blockIdx.x) * (routing_block / warp_size) + threadIdx.x / warp_size;
  T sum = T(0);
  if (r < x.rows) {
    for (Extent c = static_cast<Extent>(threadIdx.x % warp_size); c < x.cols; c += warp_size)
      sum += x.data[r * x.stride + c] * z.data[r * z.stride + c];
  }
  sum = warp_sum(sum);
  if (r < x.rows && threadIdx.x % warp_size == 0) y.data[r * y.stride] = sum;
}

/// y = x with row r times scale[r]. A block a row.
template <class T>
__global__ void __launch_bounds__(routing_block)
    scale_rows_kernel(Matrix<const T> x, Matrix<const T> scale, Matrix<T> y) {
  const Extent r = static_cast<Extent>(blockIdx.x);
  const T factor = scale.data[r * scale.stride];
  for (Extent c = static_cast<Extent>(threadIdx.x); c < x.cols; c += routing_block)
    y.data[r * y.stride + c] = x.data[r * x.stride + c] * factor;
}

template <class T>
void RoutingKernels<T>::route_forward(const RoutingShape& routing, Matrix<const T> logits, Matrix<T> weights) {
  expect_shape("route_forward", "weights", weights, logits.rows, logits.cols);
  launch(context_.stream(), grid_of(ceil_div(logits.rows, routing_block)), routing_block, 0, route_forward_kernel<T>,
         routing, logits, weights);
}
template <class T>
void RoutingKernels<T>::route_grad(const RoutingShape& routing, Matrix<const T> grad_weights, Matrix<const T> logits,
                                   Matrix<const T> weights, Matrix<T> grad_logits) {
  expect_shape("route_grad", "gradient", grad_logits, weights.rows, weights.cols);
  launch(context_.stream(), grid_of(ceil_div(weights.rows, routing_block)), routing_block, 0, route_grad_kernel<T>,
         routing, grad_weights, logits, weights, grad_logits);
}
template <class T>
void RoutingKernels<T>::scale_rows(Matrix<const T> x, Matrix<const T> scale, Matrix<T> y) {
  expect_shape("scale_rows", "scale", scale, x.rows, 1);
  launch(context_.stream(), grid_of(x.rows), routing_block, 0, scale_rows_kernel<T>, x, scale, y);
}
template <class T>
void RoutingKernels<T>::dot_rows(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
  expect_shape("dot_rows", "second operand", z, x.rows, x.cols);
  launch(context_.stream(), grid_of(ceil_div(x.rows, routing_block / warp_size)), routing_block, 0, dot_rows_kernel<T>,
         x, z, y);
}

}  // namespace greentrainer::cuda
