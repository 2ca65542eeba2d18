#pragma once

#include <array>
#include <csignal>

namespace greentrainer::cuda_emulation {

/// While one lives, what the machine refuses to do ends the kernel that asked for it, and accesses of the host to
/// protected memory are noted.
class SignalHandlers {
 public:
  SignalHandlers();
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;
  ~SignalHandlers();

 private:
  static constexpr std::array signals = {SIGSEGV, SIGBUS, SIGILL};
  std::array<struct sigaction, signals.size()> before_;
  stack_t stack_before_;
};

}  // namespace greentrainer::cuda_emulation
