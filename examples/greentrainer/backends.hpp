#pragma once

#include <string>
#include <thread>
#include <utility>

#include "backend_choice.hpp"
#include "command.hpp"
#include "console.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "machine.hpp"
#include "optional_cuda.hpp"

namespace greentrainer::program {

/// Declares --backend and the options of each. `choice` must outlive the command.
void declare_backend(Command& command, BackendChoice& choice);

/// Declares those that a device of CUDA has.
void declare_device(Command& command, BackendChoice& choice);

/// Throws UsageError for a backend that does not exist.
void check_backend_name(const Command& command, const std::string& name);

/// The same, and for options of another one. Requires that the command declares them all.
void check_backend(const Command& command, const BackendChoice& choice);

/// The threads of the backend eigen: those asked for, but no more than the machine runs at once, which is said.
int threads_of(const BackendChoice& choice);

/// Returns run(backend), an exit status, for the backend asked for. Throws MissingDevice if its device is not there.
template <class Run>
int with_backend(const BackendChoice& choice, Run&& run) {
  if (choice.name == "cuda") return with_cuda(choice, std::forward<Run>(run));
  EigenBackend<float> backend(threads_of(choice), precision_of(choice));
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (choice.threads == 0 && backend.threads() < cores) {
    say(text("note: ", backend.threads(), backend.threads() == 1 ? " thread" : " threads", " for ", cores,
             " cores, since the system starts no more; is there a limit on processes or memory (ulimit)?"));
  }
  return run(backend);
}

/// The PCI bus address of the GPU that a backend computes on, as MachineEnergy takes it; empty for processors.
template <class B>
std::string gpu_address(const B& backend) {
  if constexpr (requires { backend.pci_bus_address(); })
    return backend.pci_bus_address();
  else
    return "";
}

/// FLOPs a second that the backend's processors can do, from a short measurement; 0 for those that are not measured.
inline double peak_of(const EigenBackend<float>& backend) { return measured_peak(backend.threads()); }
template <class B>
double peak_of(const B&) {
  return 0;
}

}  // namespace greentrainer::program
