#pragma once

// Found by include path where greentrainer::mpi is built; without_mpi/ has its counterpart.

#include "greentrainer/backends/mpi.hpp"
#include "greentrainer/parallel/ranks.hpp"

namespace greentrainer::program {

/// The processes that a launcher has started this program in.
class LaunchedRanks {
 public:
  int rank() const { return communicator_.rank(); }
  int size() const { return communicator_.size(); }
  bool is_first() const { return rank() == 0; }

  /// Makes a trainer one of the ranks.
  template <class Trainer>
  void join(Trainer& trainer) {
    trainer.use_communicator(communicator_);
  }
  /// For what the program itself exchanges.
  Ranks exchange() { return Ranks(communicator_); }
  /// These three as MpiCommunicator's.
  void timeout(double seconds) { communicator_.timeout(seconds); }
  bool all_end(double seconds) { return communicator_.all_end(seconds); }
  void all_end() { communicator_.all_end(); }
  void abort(int status) { communicator_.abort("", status); }

 private:
  MpiSession session_;
  MpiCommunicator communicator_;
};

}  // namespace greentrainer::program
