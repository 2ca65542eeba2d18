#pragma once

#include <array>
#include <mpi.h>
#include <string>

#include "greentrainer/concepts/communicator.hpp"

namespace greentrainer::mpi {

/// Throws CommunicationError for what an MPI call returns.
inline void check(int error, const char* call) {
  if (error == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING + 1> words{};
  int length = 0;
  MPI_Error_string(error, words.data(), &length);
  throw CommunicationError("MPI", call, std::string(words.data(), static_cast<std::size_t>(length)));
}

/// Whether a call that was begun is done.
inline bool is_done(MPI_Request& request, const char* call) {
  int done = 0;
  check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), call);
  return done != 0;
}

/// The ranks of another communicator in one of their own, whose messages meet no others. Its errors are returned.
struct Duplicate {
  explicit Duplicate(MPI_Comm of) {
    check(MPI_Comm_dup(of, &ranks), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(ranks, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  }
  Duplicate(const Duplicate&) = delete;
  Duplicate& operator=(const Duplicate&) = delete;
  ~Duplicate() { MPI_Comm_free(&ranks); }
  MPI_Comm ranks = MPI_COMM_NULL;
};

}  // namespace greentrainer::mpi
