#pragma once

#include <cmath>
#include <limits>

#include "greentrainer/backends/cuda/cross_entropy_kernels.hpp"
#include "greentrainer/backends/cuda/sums.cuh"

namespace greentrainer::cuda {

// One block a row. A row is too long for the first-level cache, so maximum and sum of exponentials are found in one
// pass over it.

inline constexpr int cross_entropy_block = 512;
inline constexpr int cross_entropy_warps = cross_entropy_block / warp_size;

template <class T>
inline constexpr T lowest = std::numeric_limits<T>::lowest();

/// The sum of exp(x) over some numbers x, as sum * exp(max). A NaN among them makes `sum` NaN: it is never a maximum.
template <class T>
struct SumOfExponentials {
  T max, sum;

  __device__ void add(T x) {
    if (x > max) raise(x);
    sum += std::exp(x - max);
  }
  __device__ void add(SumOfExponentials other) {
    if (other.max > max) raise(other.max);
    sum += other.sum * std::exp(other.max - max);
  }

 private:
  __device__ void raise(T new_max) {
    sum *= std::exp(max - new_max);
    max = new_max;
  }
};

/// Of a row of logits, by the whole block. `by_warp`: cross_entropy_warps elements of shared memory.
template <int N, class T>
__device__ SumOfExponentials<T> sum_of_exponentials(Extent cols, const T* row, SumOfExponentials<T>* by_warp) {
  SumOfExponentials<T> own{lowest<T>, T(0)};
  for_own_columns<N, cross_entropy_block>(cols, [&]<int n>(Extent c, Width<n>) {
    const Vector<T, n> x = load<n>(row + c);
    for (int i = 0; i < n; ++i) own.add(x.at[i]);
  });
#pragma unroll
  for (int distance = warp_size / 2; distance > 0; distance /= 2) {
    const T max = __shfl_xor_sync(full_mask, own.max, distance);
    const T sum = __shfl_xor_sync(full_mask, own.sum, distance);
    own.add(SumOfExponentials<T>{max, sum});
  }
  if (threadIdx.x % warp_size == 0) by_warp[threadIdx.x / warp_size] = own;
  __syncthreads();
  SumOfExponentials<T> all = by_warp[0];
  for (int warp = 1; warp < cross_entropy_warps; ++warp) all.add(by_warp[warp]);
  return all;
}

/// losses[r] = log(sum of exp(logits[r])) - logits[r][labels[r]], and the same to row_losses unless null.
template <int N, class T>
__global__ void __launch_bounds__(cross_entropy_block)
    cross_entropy_forward_kernel(Extent cols, const T* logits, Extent stride, const Index* labels, T* row_losses,
                                 double* losses) {
  GREENTRAINER_SHARED_ARRAY(SumOfExponentials<T>, by_warp, cross_entropy_warps);
  const T* row = logits + blockIdx.x * stride;
  const SumOfExponentials<T> total = sum_of_exponentials<N>(cols, row, by_warp);
  if (threadIdx.x == 0) {
    const double label = static_cast<double>(row[labels[blockIdx.x]]);
    const double loss = std::log(static_cast<double>(total.sum)) + (static_cast<double>(total.max) - label);
    losses[blockIdx.x] = loss;
    if (row_losses != nullptr) row_losses[blockIdx.x] = static_cast<T>(loss);
  }
}

/// logits = scale * (softmax(logits) - one-hot(labels)).
template <int N, class T>
__global__ void __launch_bounds__(cross_entropy_block)
    cross_entropy_grad_kernel(Extent cols, T* logits, Extent stride, const Index* labels, T scale) {
  GREENTRAINER_SHARED_ARRAY(SumOfExponentials<T>, by_warp, cross_entropy_warps);
  T* row = logits + blockIdx.x * stride;
  const Index label = labels[blockIdx.x];
  const SumOfExponentials<T> total = sum_of_exponentials<N>(cols, row, by_warp);
  const T max = total.max, factor = scale / total.sum;
  for_own_columns<N, cross_entropy_block>(cols, [=]<int n>(Extent c, Width<n>) {
    Vector<T, n> x = load<n>(row + c);
    for (int i = 0; i < n; ++i) x.at[i] = std::exp(x.at[i] - max) * factor - (c + i == label ? scale : T(0));
    store(row + c, x);
  });
}

template <class T>
void CrossEntropyKernels<T>::cross_entropy_forward(Matrix<const T> logits, const Index* labels, T* row_losses,
                                                   double* loss_sum) {
  if (logits.rows == 0) return;
  Scratch<double> losses(context_, logits.rows);
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(logits.rows), cross_entropy_block, 0, cross_entropy_forward_kernel<n, T>,
           logits.cols, logits.data, logits.stride, labels, row_losses, losses.data());
  };
  with_width<T>(run, logits);
  launch(context_.stream(), grid_of(1), sum_block, 0, add_sum_kernel<double>, logits.rows, losses.data(), loss_sum);
}

template <class T>
void CrossEntropyKernels<T>::cross_entropy_grad(Matrix<T> logits, const Index* labels, double scale) {
  const auto run = [&]<int n>(Width<n>) {
    launch(context_.stream(), grid_of(logits.rows), cross_entropy_block, 0, cross_entropy_grad_kernel<n, T>,
           logits.cols, logits.data, logits.stride, labels, static_cast<T>(scale));
  };
  with_width<T>(run, logits);
}

}  // namespace greentrainer::cuda
