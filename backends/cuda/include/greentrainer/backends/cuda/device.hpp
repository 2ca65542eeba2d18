#pragma once

// What kernels are written with. The same source is compiled by nvcc and, for tests without a device, by a C++ compiler
// against stand-ins for cuda_runtime.h and cublas_v2.h that run it thread by thread (tests/cuda_emulation), which is
// what these rules are for:
// - a block's size is known at compile time and a multiple of 32; shuffles name all 32 lanes;
// - no barrier and no shuffle stands under a condition that threads of a block decide differently, and no thread
// returns before one;
// - one barrier a source line; launches through launch() alone; shared memory through the two macros below.

#include <cstddef>
#include <cuda_runtime.h>
#include <limits>
#include <source_location>

#include "greentrainer/backends/cuda/check.hpp"
#include "greentrainer/core/types.hpp"

#ifndef GREENTRAINER_CUDA_EMULATION  // which brings its own
/// `type name[count]` in the block's shared memory; count is a constant.
#define GREENTRAINER_SHARED_ARRAY(type, name, count) __shared__ type name[count]
/// `type* name`: the shared memory whose size the launch gave, aligned to 16 bytes. One a kernel.
#define GREENTRAINER_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char greentrainer_dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(greentrainer_dynamic_shared)
#endif

namespace greentrainer::cuda {

using Stream = cudaStream_t;

inline constexpr int warp_size = 32;
inline constexpr unsigned full_mask = 0xffffffffU;

/// What one block may have of shared memory without asking for more.
inline constexpr std::size_t default_shared_bytes = 48 * 1024;

/// How many blocks of this size a multiprocessor has registers for, at so many a thread. For the launch bounds of
/// kernels that ptxas, left to itself, makes spill registers for the sake of more threads.
template <int Block, int Registers>
inline constexpr int blocks_with = 65536 / (Block * Registers);

/// Blocks of a launch. Throws BackendError for more than CUDA allows.
inline dim3 grid_of(Extent x, Extent y = 1, Extent z = 1) {
  constexpr Extent most_x = std::numeric_limits<int>::max(), most = 65535;
  if (x > most_x || y > most || z > most) {
    throw BackendError("CudaBackend", "grid",
                       text("expected at most (", most_x, ", ", most, ", ", most, ") blocks, got (", x, ", ", y, ", ",
                            z, "); lower the batch size"));
  }
  return {static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z)};
}

constexpr Extent ceil_div(Extent n, Extent d) { return (n + d - 1) / d; }

/// A stream, and the line that launches on it, for errors.
struct LaunchSite {
  Stream stream;
  std::source_location where;
  LaunchSite(Stream stream_, std::source_location where_ = std::source_location::current())
      : stream(stream_), where(where_) {}
};

/// Lets a kernel have all the shared memory that the device gives a block; the same for every launch of it, on whatever
/// thread. Throws BackendError if that is less than `bytes`.
template <class Kernel>
void allow_shared_memory(Kernel kernel, std::size_t bytes, std::source_location where) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "cudaGetDevice(&device)", where);
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute(&most, shared memory)", where);
  if (bytes > static_cast<std::size_t>(most)) {
    throw BackendError("CudaBackend", "shared memory of a block",
                       text("expected a device that has ", bytes, " bytes, got ", most,
                            "; attention over heads this wide needs compute capability 8.0, 9.0 or 10.0"));
  }
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize)", where);
}

/// Starts a kernel: `grid` blocks of `block` threads. A grid without blocks starts nothing. Throws BackendError.
template <class... Parameters, class... Arguments>
void launch(LaunchSite site, dim3 grid, int block, std::size_t dynamic_shared_bytes, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (dynamic_shared_bytes > default_shared_bytes) allow_shared_memory(kernel, dynamic_shared_bytes, site.where);
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(block));
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = site.stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "launch", site.where);
}

}  // namespace greentrainer::cuda
