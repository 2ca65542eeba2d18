#pragma once

// Programs with one fault each. A function says whether its results are wrong; what else the emulation finds, it says
// itself.

#include <array>
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <numeric>
#include <vector>

#include "cuda_emulation/device_array.hpp"

namespace greentrainer::cuda_emulation::planted {

constexpr unsigned all = 0xffffffffU;

inline std::vector<float> counting(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

// --- Threads of a block that do not come together ---

__global__ inline void divergent_barrier_kernel() {
  if (threadIdx.x < 32) __syncthreads();
}
inline bool divergent_barrier() { return start(1, 64, divergent_barrier_kernel) != cudaSuccess; }

__global__ inline void two_barriers_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
inline bool two_barriers() { return start(1, 64, two_barriers_kernel) != cudaSuccess; }

__global__ inline void early_return_kernel(int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  __syncthreads();
}
inline bool early_return() { return start(1, 64, early_return_kernel, 60) != cudaSuccess; }

__global__ inline void divergent_shuffle_kernel(float* y) {
  if (threadIdx.x % 2 == 0) y[threadIdx.x] = __shfl_xor_sync(all, 1.0F, 2);
}
inline bool divergent_shuffle() {
  const DeviceArray<float> y(32);
  return start(1, 32, divergent_shuffle_kernel, y.data()) != cudaSuccess;
}

__global__ inline void shuffle_against_barrier_kernel() {
  if (threadIdx.x < 16) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}
inline bool shuffle_against_barrier() { return start(1, 32, shuffle_against_barrier_kernel) != cudaSuccess; }

__global__ inline void lane_not_in_mask_kernel() { __syncwarp(0xffffU); }
inline bool lane_not_in_mask() { return start(1, 32, lane_not_in_mask_kernel) != cudaSuccess; }

__global__ inline void source_not_in_mask_kernel() {
  if (threadIdx.x < 16) __shfl_sync(0xffffU, 1, 16);
}
inline bool source_not_in_mask() { return start(1, 32, source_not_in_mask_kernel) != cudaSuccess; }

inline bool half_a_warp() {
  const DeviceArray<float> y(16);
  return start(1, 16, divergent_shuffle_kernel, y.data()) != cudaSuccess;
}

// --- Accesses without an order between them ---

/// y[i] = x[n - 1 - i], by way of shared memory.
template <bool Barrier>
__global__ void reverse_kernel(const float* x, float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 64);
  row[threadIdx.x] = x[threadIdx.x];
  if (Barrier) __syncthreads();
  y[threadIdx.x] = row[63 - threadIdx.x];
}
template <bool Barrier>
bool reverse() {
  const std::vector<float> values = counting(64);
  const DeviceArray<float> x(values), y(64);
  start(1, 64, reverse_kernel<Barrier>, x.data(), y.data());
  return y.host() != std::vector<float>(values.rbegin(), values.rend());
}

/// Each round adds what the next thread has. The second barrier keeps the next round from overwriting what is still to
/// be read.
template <bool SecondBarrier>
__global__ void rounds_kernel(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 64);
  float own = static_cast<float>(threadIdx.x);
  for (int round = 0; round < 3; ++round) {
    row[threadIdx.x] = own;
    __syncthreads();
    own += row[(threadIdx.x + 1) % 64];
    if (SecondBarrier) __syncthreads();
  }
  y[threadIdx.x] = own;
}
template <bool SecondBarrier>
bool rounds() {
  const DeviceArray<float> y(64);
  start(1, 64, rounds_kernel<SecondBarrier>, y.data());
  std::vector<float> expected(64), before(64);
  std::iota(expected.begin(), expected.end(), 0.0F);
  for (int round = 0; round < 3; ++round) {
    before = expected;
    for (std::size_t i = 0; i < 64; ++i) expected[i] += before[(i + 1) % 64];
  }
  return y.host() != expected;
}

/// y[i] = i + 1, by way of what the next thread of the warp has, or the one before.
template <bool Barrier>
__global__ void higher_neighbour_kernel(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 32);
  row[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (Barrier) __syncwarp();
  y[threadIdx.x] = threadIdx.x < 31 ? row[threadIdx.x + 1] : 32;
}
template <bool Barrier>
bool higher_neighbour() {
  const DeviceArray<float> y(32);
  start(1, 32, higher_neighbour_kernel<Barrier>, y.data());
  return y.host() != counting(32);
}
template <bool Barrier>
__global__ void lower_neighbour_kernel(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 32);
  row[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (Barrier) __syncwarp();
  y[threadIdx.x] = threadIdx.x > 0 ? row[threadIdx.x - 1] + 2 : 1;
}
template <bool Barrier>
bool lower_neighbour() {
  const DeviceArray<float> y(32);
  start(1, 32, lower_neighbour_kernel<Barrier>, y.data());
  return y.host() != counting(32);
}

template <bool Atomic>
__global__ void accumulate_kernel(float* sum) {
  if (Atomic) {
    atomicAdd(sum, 1.0F);
  } else {
    *sum += 1.0F;
  }
}
template <bool Atomic, unsigned Blocks, unsigned Threads>
bool accumulate() {
  const DeviceArray<float> sum(std::vector<float>{0});
  start(Blocks, Threads, accumulate_kernel<Atomic>, sum.data());
  return sum.host().front() != static_cast<float>(Blocks * Threads);
}

// --- Memory that is not theirs ---

__global__ inline void read_at_kernel(const float* x, int i, float* y) { *y = x[i]; }
__global__ inline void write_at_kernel(float* x, int i) { x[i] = 1; }

template <int Index>
bool read_at() {
  const DeviceArray<float> x(counting(64)), y(1);
  start(1, 1, read_at_kernel, x.data(), Index, y.data());
  return y.host().front() != Index + 1;
}
template <int Index, std::size_t Count>
bool write_at() {
  const DeviceArray<float> x(Count);
  return start(1, 1, write_at_kernel, x.data(), Index) != cudaSuccess;
}

inline bool null_pointer() { return start(1, 1, write_at_kernel, static_cast<float*>(nullptr), 0) != cudaSuccess; }

inline bool host_pointer() {
  static float on_host = 0;
  return start(1, 1, write_at_kernel, &on_host, 0) != cudaSuccess;
}

inline bool use_after_free() {
  float* freed = nullptr;
  {
    const DeviceArray<float> x(64);
    freed = x.data();
  }
  return start(1, 1, write_at_kernel, freed, 0) != cudaSuccess;
}

/// The memory is freed while the kernel that uses it is pending.
inline bool freed_too_early() {
  const Stream stream;
  const DeviceArray<float> y(1);
  {
    const DeviceArray<float> x(counting(64));
    start_on(stream.get, 1, 1, 0, read_at_kernel, x.data(), 0, y.data());
  }
  return cudaStreamSynchronize(stream.get) != cudaSuccess;
}

inline bool free_twice() {
  float* memory = nullptr;
  cudaMalloc(&memory, 64);
  cudaFree(memory);
  return cudaFree(memory) != cudaSuccess;
}

__global__ inline void static_shared_kernel(int i, float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 8);
  row[threadIdx.x] = 0;
  row[i] = 1;
  *y = row[threadIdx.x];
}
template <int Index>
bool static_shared() {
  const DeviceArray<float> y(1);
  return start(1, 1, static_shared_kernel, Index, y.data()) != cudaSuccess;
}

__global__ inline void dynamic_shared_kernel(int i, float* y) {
  GREENTRAINER_DYNAMIC_SHARED(float, row);
  *y = row[i];
}
inline bool dynamic_shared_read() {
  const DeviceArray<float> y(1);
  return start_on(nullptr, 1, 1, 32, dynamic_shared_kernel, 8, y.data()) != cudaSuccess;
}

__global__ inline void misaligned_kernel(const float* x, float4* y) { *y = *reinterpret_cast<const float4*>(x); }
inline bool misaligned() {
  const DeviceArray<float> x(counting(64));
  const DeviceArray<float4> y(1);
  return start(1, 1, misaligned_kernel, x.data() + 1, y.data()) != cudaSuccess;
}

__global__ inline void deep_kernel(int depth, float* y) {
  volatile char frame[1024];
  frame[depth] = static_cast<char>(depth);
  if (depth > 0) deep_kernel(depth - 1, y);
  *y = frame[depth];
}
inline bool deep_stack() {
  const DeviceArray<float> y(1);
  return start(1, 1, deep_kernel, 1000, y.data()) != cudaSuccess;
}

// --- Values that nobody has written ---

inline bool uninitialised_device_memory() {
  const DeviceArray<float> x(64), y(1);
  start(1, 1, read_at_kernel, x.data(), 0, y.data());
  return y.host().front() != 0;
}

inline bool uninitialised_shared_memory() {
  const DeviceArray<float> y(1);
  start_on(nullptr, 1, 1, 32, dynamic_shared_kernel, 0, y.data());
  return y.host().front() != 0;
}

/// What a block leaves in shared memory is not there for the next.
__global__ inline void left_over_kernel(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, kept, 1);
  if (blockIdx.x == 0) kept[0] = 1;
  y[blockIdx.x] = kept[0];
}
inline bool left_over() {
  const DeviceArray<float> y(2);
  start(2, 1, left_over_kernel, y.data());
  return y.host() != std::vector<float>{1, 1};
}

// --- The host and its streams ---

inline bool host_dereference() {
  const DeviceArray<float> x(counting(64));
  const volatile float* const data = x.data();
  return data[3] != 4;
}

/// Pinned memory for a scope.
struct Pinned {
  float* data = nullptr;
  explicit Pinned(std::size_t count) { cudaMallocHost(&data, count * sizeof(float)); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(data); }
};

template <bool Wait>
bool download() {
  const Stream stream;
  const DeviceArray<float> x(counting(4));
  const Pinned result(4);
  cudaMemcpyAsync(result.data, x.data(), 16, cudaMemcpyDeviceToHost, stream.get);
  if (Wait) cudaStreamSynchronize(stream.get);
  const bool wrong = result.data[3] != 4;
  cudaStreamSynchronize(stream.get);
  return wrong;
}

template <bool Wait>
bool upload_twice() {
  const Stream stream;
  const DeviceArray<float> x(1), y(1);
  const Pinned buffer(1);
  buffer.data[0] = 1;
  cudaMemcpyAsync(x.data(), buffer.data, 4, cudaMemcpyHostToDevice, stream.get);
  if (Wait) cudaStreamSynchronize(stream.get);
  buffer.data[0] = 2;
  cudaMemcpyAsync(y.data(), buffer.data, 4, cudaMemcpyHostToDevice, stream.get);
  cudaStreamSynchronize(stream.get);
  return x.host().front() != 1;
}

template <bool Wait>
bool two_streams() {
  const Stream first, second;
  const DeviceArray<float> x(std::vector<float>{0, 0}), y(1);
  start_on(first.get, 1, 1, 0, write_at_kernel, x.data(), 1);
  cudaEvent_t written = nullptr;
  cudaEventCreateWithFlags(&written, cudaEventDisableTiming);
  cudaEventRecord(written, first.get);
  if (Wait) cudaStreamWaitEvent(second.get, written);
  start_on(second.get, 1, 1, 0, read_at_kernel, x.data(), 1, y.data());
  cudaStreamSynchronize(second.get);
  const bool wrong = y.host().front() != 1;
  cudaStreamSynchronize(first.get);
  cudaEventDestroy(written);
  return wrong;
}

inline bool copy_out_of_range() {
  const DeviceArray<float> x(4);
  const std::array<float, 5> values{};
  return cudaMemcpy(x.data(), values.data(), sizeof values, cudaMemcpyHostToDevice) != cudaSuccess;
}

inline bool copy_direction() {
  const DeviceArray<float> x(4);
  std::array<float, 4> values{};
  return cudaMemcpy(x.data(), values.data(), sizeof values, cudaMemcpyDeviceToHost) != cudaSuccess;
}

// --- Launches and products that cannot be ---

inline bool too_many_threads() { return start(1, 1056, two_barriers_kernel) != cudaSuccess; }

inline bool too_much_dynamic_shared() {
  const DeviceArray<float> y(1);
  return start_on(nullptr, 1, 1, (48 << 10) + 16, dynamic_shared_kernel, 0, y.data()) != cudaSuccess;
}

__global__ inline void both_shared_kernel(float* y) {
  GREENTRAINER_SHARED_ARRAY(float, row, 64);
  GREENTRAINER_DYNAMIC_SHARED(float, rows);
  row[threadIdx.x] = rows[threadIdx.x] = 1;
  *y = row[threadIdx.x];
}
inline bool too_much_shared() {
  const DeviceArray<float> y(1);
  return start_on(nullptr, 1, 1, 48 << 10, both_shared_kernel, y.data()) != cudaSuccess;
}

struct Cublas {
  cublasHandle_t handle = nullptr;
  Cublas() { cublasCreate(&handle); }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas() { cublasDestroy(handle); }
};

/// C (8, 4) = A (8, 6) B (6, 4), where leading dimensions and the memory of A are as given.
inline bool product(int lda, std::size_t elements_of_a, int shift = 0) {
  const Cublas cublas;
  const DeviceArray<float> a(std::vector<float>(elements_of_a, 1.0F)), b(std::vector<float>(24, 1.0F)), c(32);
  const float one = 1, zero = 0;
  const auto* moved = reinterpret_cast<const float*>(reinterpret_cast<const char*>(a.data()) + shift);
  return cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 4, 6, &one, moved, lda, b.data(), 6, &zero, c.data(),
                     8) != CUBLAS_STATUS_SUCCESS ||
         c.host() != std::vector<float>(32, 6.0F);
}
inline bool bad_leading_dimension() { return product(7, 48); }
inline bool product_out_of_range() { return product(8, 47); }
inline bool misaligned_factor() { return product(8, 60, 2); }

inline bool overlapping_batches() {
  const Cublas cublas;
  const DeviceArray<float> a(std::vector<float>(4, 1.0F)), c(8);
  const float one = 1, zero = 0;
  return cublasGemmStridedBatchedEx(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a.data(), CUDA_R_32F, 2, 0,
                                    a.data(), CUDA_R_32F, 2, 0, &zero, c.data(), CUDA_R_32F, 2, 3, 2,
                                    CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS;
}

}  // namespace greentrainer::cuda_emulation::planted
