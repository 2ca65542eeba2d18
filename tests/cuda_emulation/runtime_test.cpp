#include <array>
#include <cstring>
#include <cuda_runtime.h>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cuda_emulation/device_array.hpp"
#include "cuda_emulation/emulation.hpp"

using namespace greentrainer::cuda_emulation;

namespace kernels {

__global__ void set(float* x, float value) { x[threadIdx.x] = value; }
__global__ void fail(int* y) {
  if (threadIdx.x == 0) __syncthreads();
  y[threadIdx.x] = 0;
}
__global__ void shared_bytes(int last, char* y) {
  GREENTRAINER_DYNAMIC_SHARED(char, bytes);
  bytes[last] = 1;
  *y = bytes[last];
}

}  // namespace kernels

namespace {

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("deferred work is done when it is waited for, and not before") {
  const Session session({.streams = Streams::deferred});
  const Stream stream, other;
  const DeviceArray<float> x(1);
  float* result = nullptr;
  cudaMallocHost(&result, sizeof(float));
  *result = 0;
  start_on(stream.get, 1, 1, 0, kernels::set, x.data(), 3.0F);
  cudaMemcpyAsync(result, x.data(), sizeof(float), cudaMemcpyDeviceToHost, stream.get);
  cudaStreamSynchronize(other.get);
  const float before = *result;
  cudaStreamSynchronize(stream.get);
  CHECK(before == 0);
  CHECK(*result == 3);
  cudaFreeHost(result);
  CHECK(take_faults().empty());
}

TEST_CASE("an event stands for the work before it, as it was recorded last") {
  const Session session({.streams = Streams::deferred});
  const Stream stream, other;
  const DeviceArray<float> x(1), y(1);
  cudaEvent_t event = nullptr, never = nullptr;
  cudaEventCreate(&event);
  cudaEventCreate(&never);
  CHECK(cudaEventSynchronize(never) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(other.get, never) == cudaSuccess);

  start_on(stream.get, 1, 1, 0, kernels::set, x.data(), 1.0F);
  cudaEventRecord(event, stream.get);
  start_on(stream.get, 1, 1, 0, kernels::set, x.data(), 2.0F);
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  cudaStreamWaitEvent(other.get, event);
  cudaMemcpyAsync(y.data(), x.data(), sizeof(float), cudaMemcpyDeviceToDevice, other.get);
  cudaEventRecord(event, stream.get);  // does not change what the other stream waits for
  cudaEventDestroy(never);
  cudaStreamSynchronize(other.get);
  CHECK(y.host() == std::vector<float>{1});
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  cudaEventSynchronize(event);
  CHECK(x.host() == std::vector<float>{2});
  CHECK(cudaEventQuery(event) == cudaSuccess);
  cudaEventDestroy(event);
  CHECK(take_faults().empty());
}

TEST_CASE("the time between two events is positive") {
  const DeviceArray<float> x(1);
  cudaEvent_t start_event = nullptr, end_event = nullptr, untimed = nullptr;
  cudaEventCreate(&start_event);
  cudaEventCreate(&end_event);
  cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming);
  cudaEventRecord(start_event);
  start(1, 1, kernels::set, x.data(), 1.0F);
  cudaEventRecord(end_event);
  cudaEventRecord(untimed);
  cudaDeviceSynchronize();
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start_event, end_event) == cudaSuccess);
  CHECK(milliseconds >= 0);
  CHECK(cudaEventElapsedTime(&milliseconds, start_event, untimed) == cudaErrorInvalidResourceHandle);
  CHECK(take_faults().size() == 1);
  for (const cudaEvent_t event : {start_event, end_event, untimed}) cudaEventDestroy(event);
}

TEST_CASE("memory is set and copied, in rows and with strides") {
  for (const Settings& mode : every_mode()) {
    const Session session(mode);
    const DeviceArray<unsigned char> x(std::vector<unsigned char>(12, 9)), y(12);
    CHECK(cudaMemset2DAsync(x.data(), 4, 7, 2, 3) == cudaSuccess);
    CHECK(cudaMemcpyAsync(y.data(), x.data(), 12, cudaMemcpyDeviceToDevice) == cudaSuccess);
    CHECK(y.host() == std::vector<unsigned char>{7, 7, 9, 9, 7, 7, 9, 9, 7, 7, 9, 9});
    CHECK(cudaMemsetAsync(y.data(), 0, 3) == cudaSuccess);
    CHECK(y.host() == std::vector<unsigned char>{0, 0, 0, 9, 7, 7, 9, 9, 7, 7, 9, 9});
    CHECK(take_faults().empty());
    CHECK(cudaMemset2DAsync(x.data(), 4, 7, 4, 4) == cudaErrorInvalidValue);
    CHECK(cudaMemset2DAsync(x.data(), 1, 7, 2, 3) == cudaErrorInvalidPitchValue);
    CHECK(take_faults().size() == 2);
  }
  CHECK(live_allocations() == 0);
}

TEST_CASE("a device has so much memory; running out of it is no fault") {
  const Session session({.device_bytes = 1 << 20});
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  CHECK(total == 1 << 20);
  CHECK(free == total);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, (1 << 20) + 1) == cudaErrorMemoryAllocation);
  CHECK(memory == nullptr);
  CHECK(cudaMalloc(&memory, 1 << 19) == cudaSuccess);
  cudaMemGetInfo(&free, &total);
  CHECK(free == 1 << 19);
  void* more = nullptr;
  CHECK(cudaMalloc(&more, (1 << 19) + 1) == cudaErrorMemoryAllocation);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(take_faults().empty());
}

TEST_CASE("memory is aligned as its size allows") {
  for (const std::size_t bytes : {256UL, 4096UL, 512UL * 17}) {
    const DeviceArray<char> memory(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % 256 == 0);
  }
  const DeviceArray<char> odd(1);
  CHECK(reinterpret_cast<std::uintptr_t>(odd.data()) % 16 == 0);
}

TEST_CASE("devices are those of the settings, of compute capability 8.0") {
  int count = -1;
  cudaDeviceProp properties{};
  {
    const Session session({.devices = 0});
    CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
    CHECK(count == 0);
    CHECK(cudaGetDeviceProperties(&properties, 0) == cudaErrorNoDevice);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 1) == cudaErrorNoDevice);
  }
  const Session session({.devices = 2});
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 2);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK(cudaGetDeviceProperties(&properties, 1) == cudaSuccess);
  CHECK(properties.major == 8);
  int most = 0;
  CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 1) == cudaSuccess);
  CHECK(most == 163 * 1024);
  char address[14] = {};
  CHECK(cudaDeviceGetPCIBusId(address, 13, 1) == cudaSuccess);
  CHECK(std::string(address) == "0000:01:00.0");
  CHECK(cudaDeviceGetPCIBusId(address, 13, 2) == cudaErrorInvalidDevice);
  CHECK(take_faults().empty());
  CHECK(cudaDeviceGetPCIBusId(address, 12, 0) == cudaErrorInvalidValue);
  CHECK(take_faults().size() == 1);

  // A launch goes to the device that is the calling thread's.
  const DeviceArray<float> x(1);
  cudaSetDevice(1);
  const Stream stream;
  CHECK(start_on(stream.get, 1, 1, 0, kernels::set, x.data(), 1.0F) == cudaSuccess);
  cudaSetDevice(0);
  CHECK(start_on(stream.get, 1, 1, 0, kernels::set, x.data(), 1.0F) == cudaErrorInvalidResourceHandle);
  const std::vector<std::string> faults = take_faults();
  REQUIRE(faults.size() == 1);
  CHECK(contains(faults[0], "expected a stream of the calling thread's device 0, got one of device 1"));
}

TEST_CASE("more shared memory is there for a kernel that asks") {
  const std::size_t most = 163 << 10;
  const DeviceArray<char> y(1);
  const auto use = [&](std::size_t bytes) {
    return start_on(nullptr, 1, 1, bytes, kernels::shared_bytes, static_cast<int>(bytes) - 1, y.data());
  };
  CHECK(use(48 << 10) == cudaSuccess);
  CHECK(use(50 << 10) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(kernels::shared_bytes, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(most)) == cudaSuccess);
  CHECK(use(most) == cudaSuccess);
  CHECK(y.host().front() == 1);
  CHECK(use(most + 1) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(kernels::shared_bytes, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(most) + 1) == cudaErrorInvalidValue);
  CHECK(take_faults().size() == 3);
}

TEST_CASE("after a fault of a kernel every call fails with it, until the faults are taken") {
  for (const Settings& mode : every_mode()) {
    CAPTURE(text_of(mode));
    const Session session(mode);
    const DeviceArray<int> y(std::vector<int>{5, 5});
    cudaStream_t stream = nullptr;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    const cudaError_t at_launch = start_on(stream, 1, 2, 0, kernels::fail, y.data());
    CHECK(at_launch == (mode.streams == Streams::immediate ? cudaErrorLaunchFailure : cudaSuccess));
    CHECK(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    CHECK(cudaMemsetAsync(y.data(), 0, sizeof(int)) == cudaErrorLaunchFailure);
    CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
    const std::string name = cudaGetErrorName(cudaErrorLaunchFailure),
                      text = cudaGetErrorString(cudaErrorLaunchFailure);
    CHECK(name == "cudaErrorLaunchFailure");
    CHECK(contains(text,
                   "unspecified launch failure: [kernels::fail] block (0, 0, 0), thread (1, 0, 0): expected every "
                   "thread of the block at"));
    CHECK(take_faults().size() == 1);
    CHECK(y.host() == std::vector<int>{5, 0});
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
    CHECK(take_faults().size() == 1);
  }
  CHECK(live_allocations() == 0);
}

TEST_CASE("the host may not touch protected device memory, kernels and copies may") {
  const Session session(parse_settings("protected"));
  const DeviceArray<float> x(std::vector<float>{1, 2});
  start(1, 2, kernels::set, x.data(), 3.0F);
  CHECK(x.host() == std::vector<float>{3, 3});
  CHECK(take_faults().empty());
  volatile float* const data = x.data();
  data[1] = 4;
  const std::vector<std::string> faults = take_faults();
  REQUIRE(faults.size() == 1);
  CHECK(contains(faults[0],
                 "[host] expected accesses to memory of the host, got one to byte 4 of device memory (8 bytes)"));
  CHECK(x.host() == std::vector<float>{3, 4});
}
