#pragma once

#include <cmath>

#include "greentrainer/backends/cuda/column_sums.cuh"
#include "greentrainer/backends/cuda/norm_kernels.hpp"
#include "greentrainer/backends/cuda/reductions.cuh"
#include "greentrainer/backends/cuda/shapes.hpp"
#include "greentrainer/backends/cuda/vectors.cuh"

namespace greentrainer::cuda {

// One block a row. What a row is read for again comes from the cache.

inline constexpr int norm_block = 128;
inline constexpr int norm_warps = norm_block / warp_size;

template <int N, class T>
__global__ void __launch_bounds__(norm_block)
    layer_norm_forward_kernel(Extent cols, const T* x, Extent x_stride, const T* weight, const T* bias, T epsilon, T* y,
                              Extent y_stride, T* stats, Extent stats_stride) {
  GREENTRAINER_SHARED_ARRAY(T, sums, norm_warps);
  GREENTRAINER_SHARED_ARRAY(T, squares, norm_warps);
  const T* row = x + blockIdx.x * x_stride;
  T sum = 0, square = 0;
  for_own_columns<N, norm_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> a = load<n>(row + c);
    for (int i = 0; i < n; ++i) sum += a.at[i];
  });
  const T mean = block_sum<norm_block>(sum, sums) / static_cast<T>(cols);
  for_own_columns<N, norm_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> a = load<n>(row + c);
    for (int i = 0; i < n; ++i) square += (a.at[i] - mean) * (a.at[i] - mean);
  });
  const T rstd = T(1) / std::sqrt(block_sum<norm_block>(square, squares) / static_cast<T>(cols) + epsilon);
  T* to = y + blockIdx.x * y_stride;
  for_own_columns<N, norm_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> a = load<n>(row + c);
    const Vector<T, n> w = load<n>(weight + c), b = bias == nullptr ? Vector<T, n>{} : load<n>(bias + c);
    for (int i = 0; i < n; ++i) a.at[i] = (a.at[i] - mean) * rstd * w.at[i] + b.at[i];
    store(to + c, a);
  });
  if (threadIdx.x == 0) {
    stats[blockIdx.x * stats_stride] = mean;
    stats[blockIdx.x * stats_stride + 1] = rstd;
  }
}

/// With xhat = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - xhat mean(g xhat)).
template <int N, Write write, class T>
__global__ void __launch_bounds__(norm_block)
    layer_norm_grad_input_kernel(Extent cols, const T* grad_output, Extent grad_output_stride, const T* x,
                                 Extent x_stride, const T* weight, const T* stats, Extent stats_stride, T* grad_input,
                                 Extent grad_input_stride) {
  GREENTRAINER_SHARED_ARRAY(T, sums_g, norm_warps);
  GREENTRAINER_SHARED_ARRAY(T, sums_gx, norm_warps);
  const T* dy = grad_output + blockIdx.x * grad_output_stride;
  const T* row = x + blockIdx.x * x_stride;
  const T mean = stats[blockIdx.x * stats_stride], rstd = stats[blockIdx.x * stats_stride + 1];
  T sum_g = 0, sum_gx = 0;
  for_own_columns<N, norm_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> d = load<n>(dy + c), a = load<n>(row + c), w = load<n>(weight + c);
    for (int i = 0; i < n; ++i) {
      const T g = d.at[i] * w.at[i];
      sum_g += g;
      sum_gx += g * ((a.at[i] - mean) * rstd);
    }
  });
  const T mean_g = block_sum<norm_block>(sum_g, sums_g) / static_cast<T>(cols);
  const T mean_gx = block_sum<norm_block>(sum_gx, sums_gx) / static_cast<T>(cols);
  T* dx = grad_input + blockIdx.x * grad_input_stride;
  for_own_columns<N, norm_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> d = load<n>(dy + c);
    const Vector<T, n> a = load<n>(row + c), w = load<n>(weight + c);
    for (int i = 0; i < n; ++i) d.at[i] = rstd * (d.at[i] * w.at[i] - mean_g - (a.at[i] - mean) * rstd * mean_gx);
    if constexpr (write == Write::accumulate) d = sum(load<n>(dx + c), d);
    store(dx + c, d);
  });
}

template <int N, class T>
__global__ void __launch_bounds__(norm_block)
    rms_norm_forward_kernel(Extent cols, const T* x, Extent x_stride, const T* weight, T offset, T epsilon, T* y,
                            Extent y_stride, T* stats, Extent stats_stride) {
  GREENTRAINER_SHARED_ARRAY(T, squares, norm_warps);
  const T* row = x + blockIdx.x * x_stride;
  T square = 0;
  for_own_columns<N, norm_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> a = load<n>(row + c);
    for (int i = 0; i < n; ++i) square += a.at[i] * a.at[i];
  });
  const T rstd = T(1) / std::sqrt(block_sum<norm_block>(square, squares) / static_cast<T>(cols) + epsilon);
  T* to = y + blockIdx.x * y_stride;
  for_own_columns<N, norm_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> a = load<n>(row + c);
    const Vector<T, n> w = load<n>(weight + c);
    for (int i = 0; i < n; ++i) a.at[i] = a.at[i] * rstd * (w.at[i] + offset);
    store(to + c, a);
  });
  if (threadIdx.x == 0) stats[blockIdx.x * stats_stride] = rstd;
}

/// With g = dy (offset + weight): dx = rstd g - x rstd^3 mean(g x).
template <int N, Write write, class T>
__global__ void __launch_bounds__(norm_block)
    rms_norm_grad_input_kernel(Extent cols, const T* grad_output, Extent grad_output_stride, const T* x,
                               Extent x_stride, const T* weight, T offset, const T* stats, Extent stats_stride,
                               T* grad_input, Extent grad_input_stride) {
  GREENTRAINER_SHARED_ARRAY(T, sums_gx, norm_warps);
  const T* dy = grad_output + blockIdx.x * grad_output_stride;
  const T* row = x + blockIdx.x * x_stride;
  const T rstd = stats[blockIdx.x * stats_stride];
  T sum_gx = 0;
  for_own_columns<N, norm_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> d = load<n>(dy + c), a = load<n>(row + c), w = load<n>(weight + c);
    for (int i = 0; i < n; ++i) sum_gx += d.at[i] * (w.at[i] + offset) * a.at[i];
  });
  const T along = block_sum<norm_block>(sum_gx, sums_gx) / static_cast<T>(cols) * rstd * rstd * rstd;
  T* dx = grad_input + blockIdx.x * grad_input_stride;
  for_own_columns<N, norm_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> d = load<n>(dy + c);
    const Vector<T, n> a = load<n>(row + c), w = load<n>(weight + c);
    for (int i = 0; i < n; ++i) d.at[i] = rstd * (d.at[i] * (w.at[i] + offset)) - a.at[i] * along;
    if constexpr (write == Write::accumulate) d = sum(load<n>(dx + c), d);
    store(dx + c, d);
  });
}

// Terms of sums over rows.
template <class T>
struct BiasTerm {
  static constexpr bool reads_input = false;
  __device__ static T value(T dy, T, const T*) { return dy; }
};
template <class T>
struct LayerNormTerm {
  static constexpr bool reads_input = true;
  __device__ static T value(T dy, T x, const T* stats) { return dy * ((x - stats[0]) * stats[1]); }
};
template <class T>
struct RmsNormTerm {
  static constexpr bool reads_input = true;
  __device__ static T value(T dy, T x, const T* stats) { return dy * x * stats[0]; }
};

template <class T>
void NormKernels<T>::layer_norm_forward(Matrix<const T> x, const T* weight, const T* bias, double epsilon, Matrix<T> y,
                                        Matrix<T> stats) {
  expect_shape("layer_norm_forward", "output", y, x.rows, x.cols);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(x.rows), norm_block, 0, layer_norm_forward_kernel<n, T>, x.cols, x.data, x.stride,
           weight, bias, static_cast<T>(epsilon), y.data, y.stride, stats.data, stats.stride);
  };
  with_width<T>(run, x, weight, bias, y);
}
template <class T>
void NormKernels<T>::layer_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight,
                                           Matrix<const T> stats, Matrix<T> grad_input, Write write) {
  expect_shape("layer_norm_grad_input", "gradient of the output", grad_output, x.rows, x.cols);
  const auto run = [&]<int n>(Width<n>) {
    const auto kernel = write == Write::overwrite ? layer_norm_grad_input_kernel<n, Write::overwrite, T>
                                                  : layer_norm_grad_input_kernel<n, Write::accumulate, T>;
    launch(context_.stream(), grid_of(x.rows), norm_block, 0, kernel, x.cols, grad_output.data, grad_output.stride,
           x.data, x.stride, weight, stats.data, stats.stride, grad_input.data, grad_input.stride);
  };
  with_width<T>(run, grad_output, x, weight, grad_input);
}
template <class T>
void NormKernels<T>::layer_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats,
                                            T* grad_weight) {
  expect_shape("layer_norm_grad_weight", "gradient of the output", grad_output, x.rows, x.cols);
  add_column_sums<LayerNormTerm<T>>(context_, grad_output, x, stats, grad_weight);
}

template <class T>
void NormKernels<T>::rms_norm_forward(Matrix<const T> x, const T* weight, double offset, double epsilon, Matrix<T> y,
                                      Matrix<T> stats) {
  expect_shape("rms_norm_forward", "output", y, x.rows, x.cols);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(x.rows), norm_block, 0, rms_norm_forward_kernel<n, T>, x.cols, x.data, x.stride,
           weight, static_cast<T>(offset), static_cast<T>(epsilon), y.data, y.stride, stats.data, stats.stride);
  };
  with_width<T>(run, x, weight, y);
}
template <class T>
void NormKernels<T>::rms_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight, double offset,
                                         Matrix<const T> stats, Matrix<T> grad_input, Write write) {
  expect_shape("rms_norm_grad_input", "gradient of the output", grad_output, x.rows, x.cols);
  const auto run = [&]<int n>(Width<n>) {
    const auto kernel = write == Write::overwrite ? rms_norm_grad_input_kernel<n, Write::overwrite, T>
                                                  : rms_norm_grad_input_kernel<n, Write::accumulate, T>;
    launch(context_.stream(), grid_of(x.rows), norm_block, 0, kernel, x.cols, grad_output.data, grad_output.stride,
           x.data, x.stride, weight, static_cast<T>(offset), stats.data, stats.stride, grad_input.data,
           grad_input.stride);
  };
  with_width<T>(run, grad_output, x, weight, grad_input);
}
template <class T>
void NormKernels<T>::rms_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats,
                                          T* grad_weight) {
  expect_shape("rms_norm_grad_weight", "gradient of the output", grad_output, x.rows, x.cols);
  add_column_sums<RmsNormTerm<T>>(context_, grad_output, x, stats, grad_weight);
}

template <class T>
void NormKernels<T>::bias_grad(Matrix<const T> grad_output, T* grad_bias) {
  add_column_sums<BiasTerm<T>>(context_, grad_output, {}, {}, grad_bias);
}

}  // namespace greentrainer::cuda
