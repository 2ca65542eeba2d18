#pragma once

// How a test steers the emulation and asks what it found. README.md in this folder says what is emulated.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace greentrainer::cuda_emulation {

/// In which order blocks, warps and lanes run that could run at once. Each runs until it has to wait.
enum class Order { forward, reverse, random };

/// When work on a stream is done: in the call that starts it, or as late as it may be, in the call that waits for it.
enum class Streams { immediate, deferred };

struct Settings {
  Order order = Order::forward;
  unsigned seed = 1;  ///< of Order::random
  Streams streams = Streams::immediate;
  bool protect_device_memory =
      false;  ///< the host touching device memory is a fault. Slow: every call changes page tables
  int devices = 1;
  std::size_t device_bytes = std::size_t{4} << 30;  ///< memory that a device has
  std::size_t block_shared_bytes = 163 << 10;  ///< shared memory that a block may ask for: of compute capability 8.0
  std::string without_barrier = {};  ///< "norms.cuh:42": the __syncthreads or __syncwarp of that line does nothing
};

/// Words in any order, separated by commas: `forward`, `reverse`, `random` or `random:SEED`; `immediate` or `deferred`;
/// `protected`. Throws std::invalid_argument for others.
Settings parse_settings(std::string_view words);

/// Such words for settings.
std::string text_of(const Settings& settings);

/// The settings that every correct program must give the same results under: three orders, each with immediate and
/// deferred streams.
std::vector<Settings> every_mode();

/// Settings for a scope; before and behind it those of the environment variable GREENTRAINER_EMULATION apply. One at a
/// time. Started while nothing is pending; at its end pending work is done, and the generator of random orders starts
/// anew.
class Session {
 public:
  explicit Session(const Settings& settings);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();
};

/// What was found since the last call, in order: faults of kernels, calls with arguments that CUDA forbids, and
/// ThreadSanitizer's reports. Each reads `[kernel or call] subject: expected X, got Y`. Afterwards the device works
/// again. Faults that nobody takes end the process with status 1.
std::vector<std::string> take_faults();

/// Lines whose __syncthreads or __syncwarp held threads up since the last call, as "norms.cuh:42", sorted.
std::vector<std::string> take_barriers();

/// Allocations of device and pinned memory that were not freed.
std::size_t live_allocations();

/// What the emulation saw without one barrier.
struct BarrierRemoval {
  std::string barrier;
  std::vector<std::string> noticed;  ///< a line for each mode that noticed: a fault, or a result that differs
};

/// Runs `results_differ` in every mode, first as it is (throws std::logic_error if that finds anything), then without
/// each barrier in turn. The callable runs kernels and says whether their results are wrong; it may throw what follows
/// from a fault.
std::vector<BarrierRemoval> remove_each_barrier(const std::function<bool()>& results_differ);

}  // namespace greentrainer::cuda_emulation
