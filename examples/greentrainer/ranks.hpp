#pragma once

#include <string>

#include "optional_mpi.hpp"

namespace greentrainer::program {

/// How a command has ended.
struct Ending {
  int status = 0;
  std::string error = {};        ///< one line, or nothing
  bool others_are_lost = false;  ///< no rank can go on: they are ended at once
};

/// How many processes a launcher such as mpirun has started this program in; 1 without a launcher.
int launched_ranks();

/// Threads for the backend of this rank: its share of the processors that it may run on, so that ranks on one machine
/// do not get into each other's way. All ranks must call it.
int threads_of_rank(LaunchedRanks& ranks);

/// Ends this rank together with the others, with one exit status and one message for all: those of the lowest rank that
/// has failed. Where others still wait for this rank, which has failed, it speaks for all and ends them.
int end_together(LaunchedRanks& ranks, const Ending& own);

/// What this process writes to stdout and stderr is dropped while it exists: the first rank speaks for all.
class SilentOutput {
 public:
  explicit SilentOutput(bool silent);
  SilentOutput(const SilentOutput&) = delete;
  SilentOutput& operator=(const SilentOutput&) = delete;
  ~SilentOutput();

 private:
  int out_ = -1, error_ = -1;
};

}  // namespace greentrainer::program
