#pragma once

#include <chrono>
#include <cuda_runtime.h>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cuda_emulation/emulation.hpp"
#include "cuda_emulation/source/allocations.hpp"
#include "cuda_emulation/source/fault.hpp"
#include "cuda_emulation/source/kernel_run.hpp"
#include "cuda_emulation/source/sanitizers.hpp"
#include "cuda_emulation/source/signal_handlers.hpp"

struct CUstream_st {
  int device;
  std::deque<std::function<void()>> pending;
  greentrainer::cuda_emulation::Clock clock;
};

struct CUevent_st {
  bool timed;
  cudaStream_t stream = nullptr;  ///< where it was recorded last
  std::size_t recorded = 0;       ///< how often
  std::size_t passed = 0;         ///< how many of those the stream has come by
  std::chrono::steady_clock::time_point time;
  greentrainer::cuda_emulation::Clock clock;
};

namespace greentrainer::cuda_emulation {

/// The devices of the process and what was asked of them. One caller at a time.
class Runtime {
 public:
  static Runtime& instance();

  // What the emulated devices are like: those of compute capability 8.0.
  static constexpr int most_threads = 1024;
  static constexpr std::size_t default_shared_bytes = 48 << 10;

  /// A call: `body` throws Fault for what is wrong with its arguments. After a fault on a stream it is not run.
  cudaError_t call(const std::function<void()>& body);
  /// A call that is run in any case.
  cudaError_t clean_up(const std::function<void()>& body);

  cudaStream_t checked(cudaStream_t stream);
  cudaEvent_t checked(cudaEvent_t event);
  /// Work for a stream, which may throw Fault when it is its turn. Done at once unless streams are deferred.
  void submit(cudaStream_t stream, std::function<void()> work);
  /// Does what is pending on a stream, or until it has come by an event for the so manieth time.
  void finish(cudaStream_t stream);
  void finish(cudaEvent_t event, std::size_t passed);
  void finish_all();

  /// Throws Fault unless the bytes lie in one live allocation.
  void check_device(const std::string& subject, const void* memory, std::size_t bytes) const;
  /// Throws Fault if they lie in device memory, or not wholly in pinned memory that they touch.
  void check_host(const std::string& subject, const void* memory, std::size_t bytes) const;
  /// What an address is.
  std::string describe(const void* address) const;

  cudaError_t last_error(bool forget);
  /// Of the last error, if it was this one; else empty.
  const std::string& details(cudaError_t error) const;

  // For emulation.hpp.
  void begin_session(const std::optional<Settings>& settings);
  std::vector<std::string> take_faults();
  std::vector<std::string> take_barriers();

  /// For the signal handler. Whether the host touched device memory that it must not: it may then go on.
  bool note_host_access(const void* address);

  const Settings& settings() const { return settings_; }
  void run(const Launch& launch, Clock& stream);

  Allocations device{"device memory"}, pinned{"pinned memory"};
  std::map<const void*, std::size_t> dynamic_shared_limits;  ///< by kernel
  std::map<cudaStream_t, std::unique_ptr<CUstream_st>> streams;
  std::map<cudaEvent_t, std::shared_ptr<CUevent_st>> events;  ///< shared with pending work

 private:
  Runtime();
  void run_next(CUstream_st& stream);
  void record(const Fault& fault);
  void collect_host_access();

  std::mutex mutex_;
  Settings settings_;
  std::optional<Scheduler> scheduler_;
  std::unique_ptr<Stacks> stacks_;
  std::unique_ptr<SignalHandlers> host_access_handlers_;
  CUstream_st default_stream_{0, {}, {}};
  std::vector<std::string> faults_;
  std::vector<Site> barriers_;
  cudaError_t broken_ = cudaSuccess;  ///< what every call returns after a fault on a stream
  cudaError_t last_ = cudaSuccess;
  std::optional<Fault> detailed_;  ///< the last fault
  const void* host_access_ = nullptr;
};

}  // namespace greentrainer::cuda_emulation
