#pragma once

#include <cuda_runtime.h>
#include <utility>
#include <vector>

namespace greentrainer::cuda_emulation {

/// Device memory for tests. Statuses are not looked at: what is wrong becomes a fault.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) { cudaMalloc(&data_, count * sizeof(T)); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  /// Waits for the default stream.
  std::vector<T> host() const {
    std::vector<T> values(count_);
    cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

struct Stream {
  cudaStream_t get = nullptr;
  Stream() { cudaStreamCreateWithFlags(&get, cudaStreamNonBlocking); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(get); }
};

/// A launch on a stream.
template <class... Parameters, class... Arguments>
cudaError_t start_on(cudaStream_t stream, dim3 grid, dim3 block, std::size_t dynamic_shared,
                     void (*kernel)(Parameters...), Arguments... arguments) {
  const cudaLaunchConfig_t config{grid, block, dynamic_shared, stream};
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}
/// On the default stream.
template <class... Parameters, class... Arguments>
cudaError_t start(dim3 grid, dim3 block, void (*kernel)(Parameters...), Arguments... arguments) {
  return start_on(nullptr, grid, block, 0, kernel, arguments...);
}

}  // namespace greentrainer::cuda_emulation
