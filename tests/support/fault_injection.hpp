#pragma once

#include <dlfcn.h>

namespace greentrainer::testing {

/// A call of the system's that the preloaded library stands in front of.
enum class SystemCall : int { write, fsync, rename, open, mkdir, mmap, malloc };

/// The library of tests/fault_injection, which must be preloaded: one call of a kind, made by the thread that arms it,
/// fails once. Its two functions are found at run time, so that tests also run without it, and say so.
class FaultInjection {
 public:
  /// Half of what a write is asked for is written, rather than an error.
  static constexpr int short_write = -1;

  static bool is_there() { return find<ArmFunction>("greentrainer_arm_fault") != nullptr; }

  /// From now on the call number `number` (from 0) of a kind fails with `error`, a value of errno.
  static void arm(SystemCall call, int error, long number) {
    find<ArmFunction>("greentrainer_arm_fault")(static_cast<int>(call), error, number);
  }
  /// Ends that. Returns whether there were so many calls.
  static bool disarm() { return find<DisarmFunction>("greentrainer_disarm_fault")() != 0; }

 private:
  using ArmFunction = void (*)(int, int, long);
  using DisarmFunction = int (*)();

  template <class Function>
  static Function find(const char* name) {
    return reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
  }
};

}  // namespace greentrainer::testing
