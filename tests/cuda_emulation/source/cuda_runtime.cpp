#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <limits>
#include <memory>
#include <new>
#include <string>

#include "cuda_emulation/source/runtime.hpp"

using namespace greentrainer::cuda_emulation;

namespace {

thread_local int current_device = 0;

Runtime& runtime() { return Runtime::instance(); }

/// For what correct programs meet, too: an error without a fault.
[[noreturn]] void refuse(cudaError_t error) { throw Fault{error, ""}; }

void check_place(const char* call, const void* place) {
  if (place == nullptr)
    throw Fault{cudaErrorInvalidValue,
                text("[", call, "] where the result goes: expected a place, got a null pointer")};
}

void check_number(int device) {
  if (runtime().settings().devices == 0) refuse(cudaErrorNoDevice);
  if (device < 0 || device >= runtime().settings().devices) refuse(cudaErrorInvalidDevice);
}

/// "void f<4, float>(long, float*)" -> "f<4, float>"
std::string name_of(const void* kernel) {
  Dl_info information{};
  if (dladdr(kernel, &information) == 0 || information.dli_sname == nullptr) return text("kernel at ", kernel);
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(information.dli_sname, nullptr, nullptr, nullptr), &std::free);
  std::string name = demangled == nullptr ? information.dli_sname : demangled.get();
  int depth = 0;
  for (std::size_t i = name.size(); i > 0; --i) {
    depth += name[i - 1] == ')' ? 1 : name[i - 1] == '(' ? -1 : 0;
    if (name[i - 1] == '(' && depth == 0) {
      name.resize(i - 1);
      break;
    }
  }
  return name.starts_with("void ") ? name.substr(5) : name;
}

void allocate(const char* call, Allocations& from, void** memory, std::size_t bytes) {
  check_place(call, memory);
  *memory = nullptr;
  if (bytes == 0) return;
  try {
    *memory = from.allocate(bytes);
  } catch (const std::bad_alloc&) {
    refuse(cudaErrorMemoryAllocation);
  }
}

void release(const char* call, Allocations& to, void* memory) {
  if (memory == nullptr || to.free(memory)) return;
  throw Fault{cudaErrorInvalidValue,
              text("[", call, "] expected the start of live memory, got ", runtime().describe(memory))};
}

void check_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const auto check = [bytes](const char* subject, bool on_device, const void* memory) {
    on_device ? runtime().check_device(subject, memory, bytes) : runtime().check_host(subject, memory, bytes);
  };
  check("[cudaMemcpy] destination", to_device, to);
  check("[cudaMemcpy] source", from_device, from);
}

void submit_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return;
  check_copy(to, from, bytes, kind);
  runtime().submit(stream, [=] {
    check_copy(to, from, bytes, kind);
    act_on(stream->clock, [&] {
      observe_read(from, bytes);
      observe_write(to, bytes);
      std::memcpy(to, from, bytes);
    });
  });
}

void check_launch(const std::string& kernel, const cudaLaunchConfig_t& config, std::size_t most_dynamic) {
  const auto check = [&kernel](cudaError_t error, const char* what, std::size_t most, std::size_t got) {
    if (got == 0 || got > most)
      throw Fault{error, text("[", kernel, "] ", what, ": expected 1 to ", most, ", got ", got)};
  };
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::size_t most_x = std::numeric_limits<int>::max();
  check(cudaErrorInvalidConfiguration, "grid's x", most_x, grid.x);
  check(cudaErrorInvalidConfiguration, "grid's y", 65535, grid.y);
  check(cudaErrorInvalidConfiguration, "grid's z", 65535, grid.z);
  check(cudaErrorInvalidConfiguration, "block's z", 64, block.z);
  check(cudaErrorInvalidConfiguration, "threads of a block", Runtime::most_threads,
        std::size_t{block.x} * block.y * block.z);
  if (config.dynamicSmemBytes > most_dynamic) {
    throw Fault{cudaErrorInvalidValue,
                text("[", kernel, "] dynamic shared memory: expected at most ", most_dynamic,
                     " bytes, as cudaFuncSetAttribute has not asked for more, got ", config.dynamicSmemBytes)};
  }
}

void check_pointers(const std::string& kernel, std::initializer_list<const void*> pointers) {
  int number = 0;
  for (const void* pointer : pointers) {
    if (pointer != nullptr && !runtime().device.knows(pointer) && !runtime().pinned.knows(pointer)) {
      throw Fault{cudaErrorIllegalAddress,
                  text("[", kernel, "] argument ", number, ": expected a pointer to device memory, got ",
                       runtime().describe(pointer))};
    }
    ++number;
  }
}

}  // namespace

// --- Devices ---

cudaError_t cudaGetDeviceCount(int* count) {
  return runtime().call([=] {
    check_place("cudaGetDeviceCount", count);
    *count = runtime().settings().devices;
    if (*count == 0) refuse(cudaErrorNoDevice);
  });
}

cudaError_t cudaGetDevice(int* device) {
  return runtime().call([=] {
    check_place("cudaGetDevice", device);
    *device = current_device;
  });
}

cudaError_t cudaSetDevice(int device) {
  return runtime().call([=] {
    check_number(device);
    current_device = device;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return runtime().call([=] {
    check_place("cudaGetDeviceProperties", properties);
    check_number(device);
    *properties = {.name = "CUDA emulation",
                   .totalGlobalMem = runtime().settings().device_bytes,
                   .sharedMemPerBlock = Runtime::default_shared_bytes,
                   .sharedMemPerBlockOptin = runtime().settings().block_shared_bytes,
                   .warpSize = warpSize,
                   .maxThreadsPerBlock = Runtime::most_threads,
                   .multiProcessorCount = 1,
                   .major = 8,
                   .minor = 0};
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* address, int room, int device) {
  return runtime().call([=] {
    check_place("cudaDeviceGetPCIBusId", address);
    check_number(device);
    const std::string text_of_it = text("0000:0", device, ":00.0");  // domain:bus:device.function
    if (room < static_cast<int>(text_of_it.size()) + 1)
      throw Fault{cudaErrorInvalidValue,
                  text("[cudaDeviceGetPCIBusId] room: expected ", text_of_it.size() + 1, " characters, got ", room)};
    std::memcpy(address, text_of_it.c_str(), text_of_it.size() + 1);
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess) return error;
  return runtime().call([=] {
    check_place("cudaDeviceGetAttribute", value);
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock: *value = properties.maxThreadsPerBlock; return;
      case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(properties.sharedMemPerBlock); return;
      case cudaDevAttrMultiProcessorCount: *value = properties.multiProcessorCount; return;
      case cudaDevAttrComputeCapabilityMajor: *value = properties.major; return;
      case cudaDevAttrComputeCapabilityMinor: *value = properties.minor; return;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(properties.sharedMemPerBlockOptin);
        return;
    }
    refuse(cudaErrorInvalidValue);
  });
}

cudaError_t cudaDeviceSynchronize() {
  return runtime().call([] {
    runtime().finish_all();
    runtime().checked(cudaStream_t{})->clock.acquire();
    for (const auto& [stream, owner] : runtime().streams) stream->clock.acquire();
  });
}

// --- Streams and events ---

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return runtime().call([=] {
    check_place("cudaStreamCreate", stream);
    auto owner = std::make_unique<CUstream_st>(CUstream_st{current_device, {}, {}});
    *stream = owner.get();
    runtime().streams.emplace(*stream, std::move(owner));
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return runtime().clean_up([=] {
    runtime().finish(runtime().checked(stream));  // CUDA lets pending work go on
    for (const auto& [event, owner] : runtime().events) {
      if (event->stream == stream) event->stream = nullptr;
    }
    runtime().streams.erase(stream);
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return runtime().call([=] {
    const cudaStream_t checked = runtime().checked(stream);
    runtime().finish(checked);
    checked->clock.acquire();
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return runtime().call([=] {
    check_place("cudaEventCreate", event);
    auto owner = std::make_shared<CUevent_st>();
    owner->timed = (flags & cudaEventDisableTiming) == 0;
    *event = owner.get();
    runtime().events.emplace(*event, std::move(owner));
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return runtime().clean_up([=] { runtime().events.erase(runtime().checked(event)); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return runtime().call([=] {
    const cudaStream_t on = runtime().checked(stream);
    runtime().checked(event)->stream = on;
    const std::size_t number = ++event->recorded;
    runtime().submit(on, [=, event = runtime().events.at(event)] {
      act_on(on->clock, [&] { event->clock.release(); });
      event->passed = number;
      event->time = std::chrono::steady_clock::now();
    });
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return runtime().call([=] {
    if (runtime().checked(event)->passed < event->recorded) refuse(cudaErrorNotReady);
    event->clock.acquire();
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return runtime().call([=] {
    runtime().finish(runtime().checked(event), event->recorded);
    event->clock.acquire();
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return runtime().call([=] {
    check_place("cudaEventElapsedTime", milliseconds);
    for (const cudaEvent_t event : {start, end}) {
      if (!runtime().checked(event)->timed || event->recorded == 0) {
        throw Fault{cudaErrorInvalidResourceHandle,
                    "[cudaEventElapsedTime] events: expected recorded ones with timing, got another"};
      }
      if (event->passed < event->recorded) refuse(cudaErrorNotReady);
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return runtime().call([=] {
    const cudaStream_t on = runtime().checked(stream);
    const std::size_t number = runtime().checked(event)->recorded;
    runtime().submit(on, [=, event = runtime().events.at(event)] {
      runtime().finish(event.get(), number);
      act_on(on->clock, [&] { event->clock.acquire(); });
    });
  });
}

// --- Memory ---

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return runtime().call([=] {
    check_number(current_device);
    const std::size_t all = runtime().settings().device_bytes, used = runtime().device.live_bytes();
    if (bytes > all || used > all - bytes) refuse(cudaErrorMemoryAllocation);
    allocate("cudaMalloc", runtime().device, memory, bytes);
    if (runtime().settings().protect_device_memory) runtime().device.set_access(false);
  });
}

cudaError_t cudaFree(void* memory) {
  return runtime().clean_up([=] { release("cudaFree", runtime().device, memory); });
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return runtime().call([=] { allocate("cudaHostAlloc", runtime().pinned, memory, bytes); });
}

cudaError_t cudaFreeHost(void* memory) {
  return runtime().clean_up([=] { release("cudaFreeHost", runtime().pinned, memory); });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return runtime().call([=] {
    check_place("cudaMemGetInfo", free);
    check_place("cudaMemGetInfo", total);
    *total = runtime().settings().device_bytes;
    *free = *total - std::min(*total, runtime().device.live_bytes());
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return runtime().call([=] {
    const cudaStream_t stream = runtime().checked(cudaStream_t{});
    submit_copy(to, from, bytes, kind, stream);
    runtime().finish(stream);
    stream->clock.acquire();
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return runtime().call([=] { submit_copy(to, from, bytes, kind, runtime().checked(stream)); });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  return runtime().call([=] {
    const cudaStream_t on = runtime().checked(stream);
    if (width > pitch)
      throw Fault{cudaErrorInvalidPitchValue,
                  text("[cudaMemset2DAsync] pitch: expected at least ", width, ", got ", pitch)};
    if (width == 0 || height == 0) return;
    const auto check = [=] { runtime().check_device("[cudaMemset] destination", to, (height - 1) * pitch + width); };
    check();
    runtime().submit(on, [=] {
      check();
      act_on(on->clock, [&] {
        for (std::size_t row = 0; row < height; ++row) {
          char* const begin = static_cast<char*>(to) + row * pitch;
          observe_write(begin, width);
          std::memset(begin, value, width);
        }
      });
    });
  });
}

// --- Launches ---

namespace greentrainer::cuda_emulation {

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread,
                   std::initializer_list<const void*> pointers) {
  return runtime().call([&] {
    const cudaStream_t stream = runtime().checked(config.stream);
    const std::string name = name_of(kernel);
    if (stream->device != current_device) {
      throw Fault{cudaErrorInvalidResourceHandle, text("[", name, "] expected a stream of the calling thread's device ",
                                                       current_device, ", got one of device ", stream->device)};
    }
    const auto asked = runtime().dynamic_shared_limits.find(kernel);
    const std::size_t most_dynamic =
        asked == runtime().dynamic_shared_limits.end() ? Runtime::default_shared_bytes : asked->second;
    check_launch(name, config, most_dynamic);
    check_pointers(name, pointers);
    const bool more = most_dynamic > Runtime::default_shared_bytes;
    const Launch work{name,
                      config.gridDim,
                      config.blockDim,
                      config.dynamicSmemBytes,
                      more ? runtime().settings().block_shared_bytes : Runtime::default_shared_bytes,
                      std::move(thread)};
    runtime().submit(stream, [=] { runtime().run(work, stream->clock); });
  });
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute, int value) {
  return runtime().call([=] {
    if (value < 0 || static_cast<std::size_t>(value) > runtime().settings().block_shared_bytes) {
      throw Fault{cudaErrorInvalidValue,
                  text("[cudaFuncSetAttribute] dynamic shared memory of ", name_of(kernel), ": expected 0 to ",
                       runtime().settings().block_shared_bytes, " bytes, got ", value)};
    }
    runtime().dynamic_shared_limits[kernel] = static_cast<std::size_t>(value);
  });
}

}  // namespace greentrainer::cuda_emulation
