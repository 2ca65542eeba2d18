#pragma once

// Found by include path where greentrainer::mpi is not built; with_mpi/ has its counterpart.

#include "greentrainer/core/error.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer::program {

/// Cannot be made: ranks need MPI.
class LaunchedRanks {
 public:
  LaunchedRanks() {
    throw ConfigError(
        "greentrainer", "ranks",
        "expected a program that was built with MPI, got one without it, started by a launcher of several; "
        "install MPI (libopenmpi-dev) and build again, or start it once");
  }
  int rank() const { return 0; }
  int size() const { return 1; }
  bool is_first() const { return true; }
  template <class Trainer>
  void join(Trainer&) {}
  Ranks exchange() { return {}; }
  void timeout(double) {}
  bool all_end(double) { return true; }
  void all_end() {}
  void abort(int) {}
};

}  // namespace greentrainer::program
