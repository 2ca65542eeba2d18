#pragma once

#include <string>
#include <type_traits>

#include "greentrainer/backends/cuda/attention_kernels.hpp"
#include "greentrainer/backends/cuda/attention_sink_kernels.hpp"
#include "greentrainer/backends/cuda/clamped_gate_kernels.hpp"
#include "greentrainer/backends/cuda/cross_entropy_kernels.hpp"
#include "greentrainer/backends/cuda/dropout_kernel.hpp"
#include "greentrainer/backends/cuda/elementwise_kernels.hpp"
#include "greentrainer/backends/cuda/norm_kernels.hpp"
#include "greentrainer/backends/cuda/product_kernels.hpp"
#include "greentrainer/backends/cuda/rotary_kernel.hpp"
#include "greentrainer/backends/cuda/routing_kernels.hpp"
#include "greentrainer/backends/cuda/row_kernels.hpp"
#include "greentrainer/backends/cuda/update_kernels.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer {

/// A CUDA device of compute capability 8.0 or more: device memory, one stream, cuBLAS. Same arguments, same bits, on
/// one kind of device. This header is for any C++ compiler; the kernels are in the library greentrainer::cuda, for
/// float and double, or, for .cu files, in the headers backends/cuda/*.cuh. One object serves one calling thread at a
/// time. Work is started, not waited for; what fails on the device is thrown by a later call.
template <class T = float>
class CudaBackend : private cuda::Context,  // first: the kernels hold a reference to it
                    public cuda::ProductKernels<T>,
                    public cuda::ElementwiseKernels<T>,
                    public cuda::DropoutKernel<T>,
                    public cuda::RowKernels<T>,
                    public cuda::NormKernels<T>,
                    public cuda::RotaryKernel<T>,
                    public cuda::RoutingKernels<T>,
                    public cuda::ClampedGateKernels<T>,
                    public cuda::AttentionKernels<T>,
                    public cuda::AttentionSinkKernels<T>,
                    public cuda::CrossEntropyKernels<T>,
                    public cuda::UpdateKernels<T> {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                "CudaBackend's kernels are there for float and double");

 public:
  using Scalar = T;

  /// `device` counts as CUDA does. Throws MissingDevice if it is not there.
  explicit CudaBackend(int device, const CudaOptions& options = {})
      : Context(device, options),
        cuda::ProductKernels<T>(context()),
        cuda::ElementwiseKernels<T>(context()),
        cuda::DropoutKernel<T>(context()),
        cuda::RowKernels<T>(context()),
        cuda::NormKernels<T>(context()),
        cuda::RotaryKernel<T>(context()),
        cuda::RoutingKernels<T>(context()),
        cuda::ClampedGateKernels<T>(context()),
        cuda::AttentionKernels<T>(context()),
        cuda::AttentionSinkKernels<T>(context()),
        cuda::CrossEntropyKernels<T>(context()),
        cuda::UpdateKernels<T>(context()) {}

  std::string name() const {
    const ProductPrecision products = options().products;
    return text("cuda (", device_name(), sizeof(T) == 4 ? ", float" : ", double",
                sizeof(T) == 8 || products == ProductPrecision::full ? "" : text(", products in ", name_of(products)),
                ")");
  }
  /// Device memory that tensors and kernels use, and that is held for them.
  const cuda::MemoryStatistics& memory() const { return Context::memory(); }

  using Context::allocate;
  using Context::copy;
  using Context::copy_from_host;
  using Context::copy_to_host;
  using Context::deallocate;
  using Context::pci_bus_address;  ///< by which GpuEnergyMeter finds the device
  using Context::stream;           ///< that all work runs on: for events, and for kernels of one's own
  using Context::synchronize;
  using Context::zero;

 private:
  Context& context() { return *this; }
};

CudaBackend(int)->CudaBackend<float>;
CudaBackend(int, const CudaOptions&)->CudaBackend<float>;

}  // namespace greentrainer
