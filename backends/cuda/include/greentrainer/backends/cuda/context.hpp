#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "greentrainer/backends/cuda/caching_allocator.hpp"
#include "greentrainer/backends/cuda/options.hpp"

// CUDA's own, so that whoever includes this needs none of its headers.
struct CUstream_st;
struct cublasContext;

namespace greentrainer::cuda {

/// A device, one stream on it that all work runs on in order, a cuBLAS handle with a workspace of its own, and memory.
/// One calling thread at a time. What fails throws BackendError, with the call and its line.
class Context {
 public:
  /// Throws MissingDevice if there is no such device, or none that this library was built for.
  Context(int device, const CudaOptions& options);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  /// Waits for all work.
  ~Context();

  const std::string& device_name() const;
  const CudaOptions& options() const;
  /// Of the device: "0000:3B:00.0", which is domain, bus, device and function in hexadecimal digits.
  std::string pci_bus_address() const;

  /// Each of the two makes its device the calling thread's, which launches demand.
  CUstream_st* stream();
  cublasContext* cublas();

  void* allocate(Bytes bytes);
  void deallocate(void* memory, Bytes bytes) noexcept;
  /// Returns when `from` may be changed; the copy itself is ordered with all other work.
  void copy_from_host(void* to, const void* from, Bytes bytes);
  void copy_to_host(void* to, const void* from, Bytes bytes);
  void copy(void* to, const void* from, Bytes bytes);
  void zero(void* to, Bytes bytes);
  /// `width` bytes in each of `rows` rows that begin `stride` bytes apart.
  void zero_rows(void* to, Bytes stride, Bytes width, Extent rows);
  void synchronize();
  const MemoryStatistics& memory() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Memory for the time of a call. Work that was started may go on using it afterwards: whatever takes it next runs
/// later on the same stream.
template <class T>
class Scratch {
 public:
  Scratch(Context& context, Extent elements)
      : context_(context),
        bytes_(elements * static_cast<Bytes>(sizeof(T))),
        data_(static_cast<T*>(context.allocate(bytes_))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { context_.deallocate(data_, bytes_); }

  T* data() const { return data_; }

 private:
  Context& context_;
  Bytes bytes_;
  T* data_;
};

}  // namespace greentrainer::cuda
