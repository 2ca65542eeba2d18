// Run by mpirun: rank 1 is lost in the middle of a run, and the others find out. "hangs": it stops, as a process that
// waits for a lost disk does; the others name it after their timeout. "dies": it is killed, which the launcher says.
// "deadlock": ranks wait for different things.

#include <csignal>
#include <iostream>
#include <string>

#include "greentrainer/backends/mpi.hpp"

namespace gt = greentrainer;

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  gt::MpiSession session;
  gt::MpiCommunicator communicator;
  communicator.timeout(1);
  try {
    for (int step = 0;; ++step) {
      std::vector<float> sums;
      communicator.start_sum(std::vector<float>(1000, 1.0F));
      if (communicator.rank() == 1 && step == 10) {
        if (how == "hangs") std::raise(SIGSTOP);
        if (how == "dies") std::raise(SIGKILL);
        if (how == "deadlock") {  // a sum that no other rank starts
          communicator.start_sum(std::vector<float>(1));
          communicator.finish_sum(sums);
        }
      }
      communicator.finish_sum(sums);
      communicator.gather({});
    }
  } catch (const gt::CommunicationError& error) {
    std::cout << error.what() << std::endl;
    communicator.abort("");
  }
}
