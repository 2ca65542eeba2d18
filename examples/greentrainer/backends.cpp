#include "commands.hpp"

namespace greentrainer::program {

void require_backend(const Command& command, const std::string& backend) {
  if (backend == "eigen") return;
  if (backend == "cuda") {
    throw MissingDevice(command.name(), "--backend: expected a backend that this program was built with (eigen), got cuda; there is no device for it here");
  }
  bad_usage(command.name(), text("--backend: expected eigen or cuda, got ", backend, suggestion(backend, {"eigen", "cuda"})));
}

}  // namespace greentrainer::program
