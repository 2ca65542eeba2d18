#include "backends.hpp"

#include <algorithm>
#include <thread>

#include "console.hpp"
#include "greentrainer/io/machine_energy.hpp"

namespace greentrainer::program {

void declare_backend(Command& command, BackendChoice& choice) {
  command.text("backend", choice.name, "NAME", "eigen, or cuda: an NVIDIA GPU (eigen)");
  command.whole("threads", choice.threads, 0,
                "eigen: 0: all cores, which more are cut to; results do not depend on it (0)");
  declare_device(command, choice);
}

void declare_device(Command& command, BackendChoice& choice) {
  command.whole("device", choice.device, 0, "cuda: which, as CUDA counts (0)", 1024);
  command.choice("precision", choice.precision, {"float32", "tf32", "bfloat16"},
                 "What the factors of matrix products are rounded to; sums, weights that are trained and all else are "
                 "float32; tf32: cuda (float32)");
}

void check_backend_name(const Command& command, const std::string& name) {
  if (name == "eigen" || name == "cuda") return;
  const std::string near = suggestion(name, {"eigen", "cuda"});
  bad_usage(command.name(),
            text("--backend: expected eigen or cuda, got ", name, near.starts_with("; did") ? near : ""));
}

void check_backend(const Command& command, const BackendChoice& choice) {
  check_backend_name(command, choice.name);
  if (choice.name == "cuda") {
    command.refuse("threads", "backend", "--backend cuda");
  } else {
    command.refuse("device", "backend", "--backend " + choice.name);
    if (choice.precision == "tf32")
      bad_usage(command.name(), "--precision: expected float32 or bfloat16 with --backend eigen, got tf32");
  }
}

int threads_of(const BackendChoice& choice) {
  const Extent cores = std::max(1U, std::thread::hardware_concurrency());
  if (choice.threads <= cores) return static_cast<int>(choice.threads);
  say(text("--threads ", choice.threads, ": this machine runs ", cores, " at once; using ", cores));
  return static_cast<int>(cores);
}

std::string energy_problem(const BackendChoice& choice) {
  std::string gpu;
  if (choice.name == "cuda") {
    with_cuda(choice, [&](auto& backend) {
      gpu = gpu_address(backend);
      return 0;
    });
  }
  return MachineEnergy(gpu).problem();
}

}  // namespace greentrainer::program
