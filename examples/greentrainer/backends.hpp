#pragma once

#include <utility>

#include "backend_choice.hpp"
#include "command.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "optional_cuda.hpp"

namespace greentrainer::program {

/// Declares --backend and the options of each. `choice` must outlive the command.
void declare_backend(Command& command, BackendChoice& choice);

/// Throws UsageError for a backend that does not exist, and for options of another one.
void check_backend(const Command& command, const BackendChoice& choice);

/// Returns run(backend), an exit status, for the backend asked for. Throws MissingDevice if its device is not there.
template <class Run>
int with_backend(const BackendChoice& choice, Run&& run) {
  if (choice.name == "cuda") return with_cuda(choice, std::forward<Run>(run));
  EigenBackend<float> backend(static_cast<int>(choice.threads));
  return run(backend);
}

}  // namespace greentrainer::program
