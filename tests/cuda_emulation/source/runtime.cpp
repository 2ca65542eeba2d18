#include "cuda_emulation/source/runtime.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace greentrainer::cuda_emulation {

namespace {

std::atomic<int> races = 0;  // that ThreadSanitizer has reported since faults were taken

void end_with_faults_not_taken() {
  const std::vector<std::string> faults = take_faults();
  for (const std::string& fault : faults)
    std::fprintf(stderr, "[cuda_emulation] not taken by any test: %s\n", fault.c_str());
  if (!faults.empty()) std::_Exit(EXIT_FAILURE);
}

Settings settings_of_environment() {
  const char* words = std::getenv("GREENTRAINER_EMULATION");
  return parse_settings(words == nullptr ? "" : words);
}

}  // namespace

#ifdef GREENTRAINER_THREAD_SANITIZER
// ThreadSanitizer calls these, unless its options in the environment say otherwise. Races become faults, which a test
// may take.
extern "C" GREENTRAINER_UNOBSERVED const char* __tsan_default_options() {
  return "exitcode=0:halt_on_error=0:suppress_equal_stacks=0:suppress_equal_addresses=0";
}
extern "C" GREENTRAINER_UNOBSERVED void __tsan_on_report(void*) { races.fetch_add(1, std::memory_order_relaxed); }
#endif

Runtime::Runtime() {
  begin_session(std::nullopt);
  std::atexit(&end_with_faults_not_taken);
}

Runtime& Runtime::instance() {
  static Runtime& runtime = *new Runtime;  // outlives every static object that may still free memory
  return runtime;
}

// --- Calls ---

cudaError_t Runtime::call(const std::function<void()>& body) {
  return clean_up([&] {
    if (broken_ == cudaSuccess) body();
  });
}

cudaError_t Runtime::clean_up(const std::function<void()>& body) {
  const std::lock_guard lock(mutex_);
  const Unobserved scope;
  collect_host_access();
  try {
    body();
  } catch (const Fault& fault) {
    record(fault);
    return last_ = fault.code;
  }
  if (broken_ != cudaSuccess) last_ = broken_;
  return broken_;
}

void Runtime::record(const Fault& fault) {
  if (!fault.text.empty()) faults_.push_back(fault.text);
  detailed_ = fault;
}

cudaError_t Runtime::last_error(bool forget) {
  const std::lock_guard lock(mutex_);
  const cudaError_t error = last_;
  if (forget) last_ = broken_;
  return error;
}

const std::string& Runtime::details(cudaError_t error) const {
  static const std::string none;
  return detailed_ && detailed_->code == error ? detailed_->text : none;
}

// --- Streams ---

cudaStream_t Runtime::checked(cudaStream_t stream) {
  if (stream == nullptr) return &default_stream_;
  if (!streams.contains(stream))
    throw Fault{cudaErrorInvalidResourceHandle, "[cuda_emulation] stream: expected one that exists, got another"};
  return stream;
}

cudaEvent_t Runtime::checked(cudaEvent_t event) {
  if (!events.contains(event))
    throw Fault{cudaErrorInvalidResourceHandle, "[cuda_emulation] event: expected one that exists, got another"};
  return event;
}

void Runtime::submit(cudaStream_t stream, std::function<void()> work) {
  stream->pending.push_back(std::move(work));
  if (settings_.streams == Streams::immediate) finish(stream);
}

void Runtime::run_next(CUstream_st& stream) {
  const std::function<void()> work = std::move(stream.pending.front());
  stream.pending.pop_front();
  if (settings_.protect_device_memory) device.set_access(true);
  try {
    work();
  } catch (const Fault& fault) {
    record(fault);
    broken_ = fault.code;
    default_stream_.pending.clear();
    for (const auto& [other, owner] : streams) other->pending.clear();
  }
  if (settings_.protect_device_memory) device.set_access(false);
}

void Runtime::finish(cudaStream_t stream) {
  while (!stream->pending.empty()) run_next(*stream);
}

void Runtime::finish(cudaEvent_t event, std::size_t passed) {
  while (event->passed < passed && !event->stream->pending.empty()) run_next(*event->stream);
}

void Runtime::finish_all() {
  finish(&default_stream_);
  for (const auto& [stream, owner] : streams) finish(stream);
}

void Runtime::run(const Launch& launch, Clock& stream) {
  const SignalHandlers handlers;
  const int threads = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  if (stacks_ == nullptr || stacks_->count() < threads) stacks_ = std::make_unique<Stacks>(threads);
  // Not on the stack of the host, which goes on to use it for other things than the kernel's threads have read there.
  std::make_unique<KernelRun>(launch, stream, *stacks_, *scheduler_, settings_.without_barrier, barriers_)->run();
  for (const Allocations* memory : {&device, &pinned}) {
    if (const std::string damaged = memory->damage(); !damaged.empty()) {
      throw Fault{cudaErrorIllegalAddress,
                  text("[", launch.kernel, "] expected writes in device memory, got some around ", damaged)};
    }
  }
}

// --- Memory ---

void Runtime::check_device(const std::string& subject, const void* memory, std::size_t bytes) const {
  if (device.holds(memory, bytes)) return;
  throw Fault{cudaErrorInvalidValue, text(subject, ": expected ", bytes, " bytes in device memory, got ", bytes,
                                          " from ", describe(memory), " on")};
}

void Runtime::check_host(const std::string& subject, const void* memory, std::size_t bytes) const {
  if (!device.knows(memory) && (!pinned.knows(memory) || pinned.holds(memory, bytes))) return;
  throw Fault{cudaErrorInvalidValue, text(subject, ": expected ", bytes, " bytes of the host, got ", bytes, " from ",
                                          describe(memory), " on")};
}

std::string Runtime::describe(const void* address) const {
  for (const Allocations* memory : {&device, &pinned}) {
    if (std::string found = memory->describe(address); !found.empty()) return found;
  }
  return address == nullptr ? "a null pointer" : text("the address ", address, ", where no device memory is");
}

bool Runtime::note_host_access(const void* address) {
  if (!settings_.protect_device_memory || !device.knows(address)) return false;
  host_access_ = address;
  device.set_access(true);
  return true;
}

void Runtime::collect_host_access() {
  if (host_access_ == nullptr) return;
  record({cudaErrorIllegalAddress,
          text("[host] expected accesses to memory of the host, got one to ", device.describe(host_access_))});
  host_access_ = nullptr;
  device.set_access(false);
}

// --- Sessions ---

void Runtime::begin_session(const std::optional<Settings>& settings) {
  const std::lock_guard lock(mutex_);
  const Unobserved scope;
  finish_all();
  collect_host_access();
  settings_ = settings ? *settings : settings_of_environment();
  scheduler_.emplace(settings_.order, settings_.seed);
  device.set_access(!settings_.protect_device_memory);
  host_access_handlers_.reset();
  if (settings_.protect_device_memory) host_access_handlers_ = std::make_unique<SignalHandlers>();
}

std::vector<std::string> Runtime::take_faults() {
  const std::lock_guard lock(mutex_);
  const Unobserved scope;
  collect_host_access();
  for (int race = races.exchange(0); race > 0; --race)
    faults_.push_back("[ThreadSanitizer] expected no report, got a data race or the like on standard error");
  broken_ = last_ = cudaSuccess;
  detailed_.reset();
  return std::exchange(faults_, {});
}

std::vector<std::string> Runtime::take_barriers() {
  const std::lock_guard lock(mutex_);
  const Unobserved scope;
  std::vector<std::string> lines;
  for (const Site& site : std::exchange(barriers_, {})) lines.push_back(text_of(site));
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  return lines;
}

}  // namespace greentrainer::cuda_emulation
