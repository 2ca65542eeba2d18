#pragma once

#include <concepts>
#include <cstring>
#include <string>

#include "greentrainer/backends/eigen/attention_kernels.hpp"
#include "greentrainer/backends/eigen/attention_sink_kernels.hpp"
#include "greentrainer/backends/eigen/clamped_gate_kernels.hpp"
#include "greentrainer/backends/eigen/cross_entropy_kernels.hpp"
#include "greentrainer/backends/eigen/dropout_kernel.hpp"
#include "greentrainer/backends/eigen/elementwise_kernels.hpp"
#include "greentrainer/backends/eigen/norm_kernels.hpp"
#include "greentrainer/backends/eigen/product_kernels.hpp"
#include "greentrainer/backends/eigen/rotary_kernel.hpp"
#include "greentrainer/backends/eigen/routing_kernels.hpp"
#include "greentrainer/backends/eigen/update_kernels.hpp"

namespace greentrainer {

/// The CPU backend: host memory, all cores. Same arguments, same bits, for any number of threads.
/// Kernels that follow each other share scratch memory, so one object serves one calling thread at a time.
template <std::floating_point T = float>
class EigenBackend : private eigen::Workers,  // first: the kernels hold a reference to it
                     public eigen::ProductKernels<T>,
                     public eigen::ElementwiseKernels<T>,
                     public eigen::DropoutKernel<T>,
                     public eigen::NormKernels<T>,
                     public eigen::RotaryKernel<T>,
                     public eigen::RoutingKernels<T>,
                     public eigen::ClampedGateKernels<T>,
                     public eigen::AttentionKernels<T>,
                     public eigen::AttentionSinkKernels<T>,
                     public eigen::CrossEntropyKernels<T>,
                     public eigen::UpdateKernels<T> {
 public:
  using Scalar = T;

  /// `threads` 0: as many as the machine runs at once, or fewer where the system starts no more: `threads()` says how
  /// many there are. Throws BackendError if another number cannot be started, ConfigError for a negative number and for
  /// many more than the machine runs at once (eigen::ThreadPool::most_threads).
  /// `products` bf16: factors of matrix products (those of attention's scores apart) are rounded to bfloat16, for
  /// float. `path`: what multiplies them. Throws ConfigError for one that this machine does not have.
  explicit EigenBackend(int threads = 0, ProductPrecision products = ProductPrecision::full,
                        eigen::BFloat16Path path = eigen::best_bfloat16_path())
      : Workers(threads),
        eigen::ProductKernels<T>(workers(), checked(products), checked(path)),
        eigen::ElementwiseKernels<T>(workers()),
        eigen::DropoutKernel<T>(workers()),
        eigen::NormKernels<T>(workers()),
        eigen::RotaryKernel<T>(workers()),
        eigen::RoutingKernels<T>(workers()),
        eigen::ClampedGateKernels<T>(workers()),
        eigen::AttentionKernels<T>(workers()),
        eigen::AttentionSinkKernels<T>(workers()),
        eigen::CrossEntropyKernels<T>(workers()),
        eigen::UpdateKernels<T>(workers()),
        products_(std::is_same_v<T, double> ? ProductPrecision::full : products),
        path_(path) {}

  int threads() const { return Workers::size(); }
  /// Memory that kernels keep for themselves: as much as the largest call so far needed.
  Bytes scratch_bytes() const { return Workers::scratch_bytes(); }
  std::string name() const {
    return text("eigen (", threads(), threads() == 1 ? " thread, " : " threads, ", arithmetic(), ")");
  }

  /// What its results depend on: not on the number of threads.
  std::string arithmetic_name() const { return text("eigen (", arithmetic(), ")"); }

  void* allocate(Bytes bytes) { return eigen::allocate_aligned(bytes); }
  void deallocate(void* memory, Bytes) noexcept { eigen::deallocate_aligned(memory); }
  void copy_from_host(void* to, const void* from, Bytes bytes) { copy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, Bytes bytes) { copy(to, from, bytes); }
  void copy(void* to, const void* from, Bytes bytes) {
    for_elements(bytes, [=](Extent first, Extent count) {
      std::memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first,
                  static_cast<std::size_t>(count));
    });
  }
  void zero(void* to, Bytes bytes) {
    for_elements(bytes, [=](Extent first, Extent count) {
      std::memset(static_cast<char*>(to) + first, 0, static_cast<std::size_t>(count));
    });
  }
  void synchronize() {}

 private:
  eigen::Workers& workers() { return *this; }
  std::string arithmetic() const {
    return text(eigen::vector_name, sizeof(T) == 4 ? ", float" : ", double",
                products_ == ProductPrecision::bf16 ? text(", products in bf16 (", name_of(path_), ")") : "");
  }
  static ProductPrecision checked(ProductPrecision products) {
    if (products == ProductPrecision::tf32)
      throw ConfigError("EigenBackend", "products", "expected full or bf16, got tf32, which GPUs have");
    return products;
  }
  static eigen::BFloat16Path checked(eigen::BFloat16Path path) {
    if (path == eigen::BFloat16Path::amx && !eigen::amx_available())
      throw ConfigError("EigenBackend", "path", "expected a processor and a system with AMX, got none; leave it out");
    return path;
  }

  ProductPrecision products_;
  eigen::BFloat16Path path_;
};

}  // namespace greentrainer
