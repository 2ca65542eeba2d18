#include <iomanip>
#include <sstream>
#include <type_traits>

#include "greentrainer/backends/cuda/context.hpp"
#include "staging.hpp"

namespace greentrainer::cuda {

namespace {

constexpr int least_compute_capability = 8;  // bfloat16, and what the library is built for

std::string text_of_bytes(Bytes bytes) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << static_cast<double>(bytes) / static_cast<double>(Bytes{1} << 30)
      << " GiB";
  return out.str();
}

/// Makes `device` the calling thread's, if it is there and this library has code for it; returns its name.
std::string choose(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  const std::string wanted = text("device ", device);
  const std::string advice = "; run this where there is one, or use another backend";
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver) {
    throw MissingDevice("CudaBackend", wanted,
                        text("expected a CUDA device, got none (", cudaGetErrorString(status), ")", advice));
  }
  GREENTRAINER_CUDA_CHECK(status);
  if (device < 0 || device >= count)
    throw MissingDevice("CudaBackend", wanted,
                        text("expected one of the ", count, " CUDA devices here, got none", advice));
  cudaDeviceProp properties{};
  GREENTRAINER_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  if (properties.major < least_compute_capability) {
    throw MissingDevice("CudaBackend", wanted,
                        text("expected compute capability ", least_compute_capability, ".0 or more, got ",
                             properties.major, ".", properties.minor, " (", properties.name, ")", advice));
  }
  GREENTRAINER_CUDA_CHECK(cudaSetDevice(device));
  return properties.name;
}

class StreamOwner {
 public:
  StreamOwner() { GREENTRAINER_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  StreamOwner(const StreamOwner&) = delete;
  StreamOwner& operator=(const StreamOwner&) = delete;
  ~StreamOwner() { cudaStreamDestroy(stream_); }
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

/// Device memory as the driver gives it, up to a limit.
class DeviceMemory final : public MemorySource {
 public:
  DeviceMemory(Stream stream, Bytes limit) : stream_(stream), limit_(limit) {}

  void* obtain(Bytes bytes) override {
    if (limit_ > 0 && taken_ + bytes > limit_) return nullptr;
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, static_cast<std::size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // has been dealt with: the next call must not report it
      return nullptr;
    }
    GREENTRAINER_CUDA_CHECK(status);
    taken_ += bytes;
    return memory;
  }
  void release(void* memory, Bytes bytes) noexcept override {
    cudaStreamSynchronize(stream_);
    cudaFree(memory);
    taken_ -= bytes;
  }
  /// What this backend may have at most.
  Bytes total() const {
    std::size_t free = 0, total = 0;
    GREENTRAINER_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return limit_ > 0 ? std::min(limit_, static_cast<Bytes>(total)) : static_cast<Bytes>(total);
  }
  /// What it could still take.
  Bytes free() const {
    std::size_t free = 0, total = 0;
    GREENTRAINER_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return limit_ > 0 ? std::min(limit_ - taken_, static_cast<Bytes>(free)) : static_cast<Bytes>(free);
  }

 private:
  Stream stream_;
  Bytes limit_;
  Bytes taken_ = 0;
};

/// A cuBLAS handle on a stream. The workspace is ours: with one that cuBLAS manages itself, results may depend on what
/// ran before.
class CublasOwner {
 public:
  CublasOwner(Stream stream, CachingAllocator& memory) {
    void* workspace = memory.allocate(workspace_bytes);
    if (workspace == nullptr) {
      throw BackendError(
          "CudaBackend", "cuBLAS workspace",
          text("expected ", text_of_bytes(workspace_bytes), " of device memory, got none; is the device in use?"));
    }
    cublasHandle_t handle = nullptr;
    GREENTRAINER_CUDA_CHECK(cublasCreate(&handle));
    handle_.reset(handle);
    GREENTRAINER_CUDA_CHECK(cublasSetStream(handle, stream));  // forgets the workspace, so it comes first
    GREENTRAINER_CUDA_CHECK(cublasSetWorkspace(handle, workspace, static_cast<std::size_t>(workspace_bytes)));
  }
  cublasHandle_t get() const { return handle_.get(); }

 private:
  static constexpr Bytes workspace_bytes = Bytes{32} << 20;  // what NVIDIA recommends for compute capability 9.0
  struct Destroy {
    void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
  };
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
};

}  // namespace

struct Context::Parts {
  Parts(int device_, const CudaOptions& options_)
      : device(device_),
        options(options_),
        device_name(choose(device)),
        source(stream.get(), options.memory_limit),
        memory(source),
        staging(stream.get()),
        cublas(stream.get(), memory) {}

  int device;
  CudaOptions options;
  std::string device_name;
  StreamOwner stream;
  DeviceMemory source;
  CachingAllocator memory;
  Staging staging;
  CublasOwner cublas;
};

Context::Context(int device, const CudaOptions& options) {
  check_options(options);
  parts_ = std::make_unique<Parts>(device, options);
}

Context::~Context() {
  cudaSetDevice(parts_->device);
  cudaStreamSynchronize(parts_->stream.get());
}

const std::string& Context::device_name() const { return parts_->device_name; }
const CudaOptions& Context::options() const { return parts_->options; }
std::string Context::pci_bus_address() const {
  char address[32] = {};
  GREENTRAINER_CUDA_CHECK(cudaDeviceGetPCIBusId(address, static_cast<int>(sizeof address), parts_->device));
  return address;
}
const MemoryStatistics& Context::memory() const { return parts_->memory.statistics(); }

Stream Context::stream() {
  GREENTRAINER_CUDA_CHECK(cudaSetDevice(parts_->device));
  return parts_->stream.get();
}

cublasHandle_t Context::cublas() {
  GREENTRAINER_CUDA_CHECK(cudaSetDevice(parts_->device));
  return parts_->cublas.get();
}

void* Context::allocate(Bytes bytes) {
  if (bytes == 0) return nullptr;
  GREENTRAINER_CUDA_CHECK(cudaSetDevice(parts_->device));
  void* memory = parts_->memory.allocate(bytes);
  if (memory != nullptr) return memory;
  const MemoryStatistics& now = parts_->memory.statistics();
  throw BackendError(
      "CudaBackend::allocate", text("memory of device ", parts_->device, " (", parts_->device_name, ")"),
      text("asked for ", bytes, " bytes (", text_of_bytes(bytes), "), while of ", text_of_bytes(parts_->source.total()),
           " ", text_of_bytes(now.in_use), " are in use here and ",
           text_of_bytes(parts_->source.free() + now.reserved - now.in_use),
           " free; lower the batch size, the tokens of a batch or the FLOPs ratio, or use floats instead of doubles"));
}
void Context::deallocate(void* memory, Bytes) noexcept { parts_->memory.deallocate(memory); }

void Context::copy_from_host(void* to, const void* from, Bytes bytes) {
  stream();
  parts_->staging.upload(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}
void Context::copy_to_host(void* to, const void* from, Bytes bytes) {
  stream();
  parts_->staging.download(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}
void Context::copy(void* to, const void* from, Bytes bytes) {
  if (bytes > 0)
    GREENTRAINER_CUDA_CHECK(
        cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream()));
}
void Context::zero(void* to, Bytes bytes) {
  if (bytes > 0) GREENTRAINER_CUDA_CHECK(cudaMemsetAsync(to, 0, static_cast<std::size_t>(bytes), stream()));
}
void Context::zero_rows(void* to, Bytes stride, Bytes width, Extent rows) {
  if (rows == 0 || width == 0) return;
  GREENTRAINER_CUDA_CHECK(cudaMemset2DAsync(to, static_cast<std::size_t>(stride), 0, static_cast<std::size_t>(width),
                                            static_cast<std::size_t>(rows), stream()));
}
void Context::synchronize() { GREENTRAINER_CUDA_CHECK(cudaStreamSynchronize(stream())); }

}  // namespace greentrainer::cuda
