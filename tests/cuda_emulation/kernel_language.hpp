#pragma once

// What the code of a kernel may use beside <cmath>. The stand-in for cuda_runtime.h includes this. Plain __shared__ is
// missing: it takes the macros.

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

/// `type name[count]` in the block's shared memory.
#define GREENTRAINER_SHARED_ARRAY(type, name, count) \
  static constexpr char name##_identity = 0;         \
  type(&name)[count] = ::greentrainer::cuda_emulation::shared_array<type, count>(&name##_identity, #name)

/// `type* name`: the shared memory whose size the launch gave, aligned to 16 bytes.
#define GREENTRAINER_DYNAMIC_SHARED(type, name) type* name = ::greentrainer::cuda_emulation::dynamic_shared<type>()

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// Of the thread that runs. The emulation sets them before it lets a thread go on.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace greentrainer::cuda_emulation {

using Site = std::source_location;

void block_barrier(Site site);
void warp_barrier(unsigned mask, Site site);
/// The value that lane `source` of the calling thread's warp hands in with the same call.
std::uint64_t exchange(unsigned mask, std::uint64_t value, int source, Site site);
int lane();
/// The same address for all threads of a block; filled with NaNs when the block starts.
void* shared_memory(const void* identity, const char* name, std::size_t bytes);
void* dynamic_shared_memory();

template <class T>
concept Shareable = std::is_trivially_default_constructible_v<T> && std::is_trivially_copyable_v<T> && alignof(T) <= 16;

template <Shareable T, std::size_t count>
T (&shared_array(const void* identity, const char* name))
[count] {
  return *static_cast<T(*)[count]>(shared_memory(identity, name, sizeof(T[count])));
}
template <Shareable T>
T* dynamic_shared() {
  return static_cast<T*>(dynamic_shared_memory());
}

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles are there for 4 and 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// The first lane of the calling thread's group of `width` lanes.
inline int first_lane(int width) { return lane() / width * width; }

}  // namespace greentrainer::cuda_emulation

inline void __syncthreads(greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  greentrainer::cuda_emulation::block_barrier(site);
}
inline void __syncwarp(unsigned mask = 0xffffffffU,
                       greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  greentrainer::cuda_emulation::warp_barrier(mask, site);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  using namespace greentrainer::cuda_emulation;
  return shuffle(mask, value, first_lane(width) + (source & (width - 1)), site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                 greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  using namespace greentrainer::cuda_emulation;
  const int source = lane() - static_cast<int>(distance);
  return shuffle(mask, value, source < first_lane(width) ? lane() : source, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                   greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  using namespace greentrainer::cuda_emulation;
  const int source = lane() + static_cast<int>(distance);
  return shuffle(mask, value, source >= first_lane(width) + width ? lane() : source, site);
}
/// Groups may read from groups before them, not from those behind.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize,
                  greentrainer::cuda_emulation::Site site = greentrainer::cuda_emulation::Site::current()) {
  using namespace greentrainer::cuda_emulation;
  const int source = lane() ^ lanes;
  return shuffle(mask, value, source >= first_lane(width) + width ? lane() : source, site);
}

/// Returns what was there before. No order with other accesses follows from it.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
