#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mpi.h>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "greentrainer/concepts/communicator.hpp"

namespace greentrainer {

/// MPI between its start and its end: one in a process. Its end waits for all ranks, so that a rank that cannot go on
/// must call MpiCommunicator::abort instead.
class MpiSession {
 public:
  MpiSession() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  }
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession() { MPI_Finalize(); }
};

/// A process among those that a launcher such as mpirun has started: a Communicator over MPI. Within an MpiSession, and
/// for one thread at a time.
class MpiCommunicator {
 public:
  explicit MpiCommunicator(MPI_Comm ranks = MPI_COMM_WORLD) : work_(ranks), end_(ranks) {
    check(MPI_Comm_rank(work_.ranks, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(work_.ranks, &size_), "MPI_Comm_size");
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  void all_reduce(std::span<float> numbers, Reduction reduction) { reduce(numbers, MPI_FLOAT, reduction); }
  void all_reduce(std::span<double> numbers, Reduction reduction) { reduce(numbers, MPI_DOUBLE, reduction); }
  void all_reduce(std::span<std::int64_t> numbers, Reduction reduction) { reduce(numbers, MPI_INT64_T, reduction); }

  void broadcast(std::span<std::byte> bytes, int root) {
    in_parts(bytes, [&](std::span<std::byte> part) {
      check(MPI_Bcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, root, work_.ranks), "MPI_Bcast");
    });
  }
  /// Values of a host: 2 GiB of all ranks together at most.
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) {
    const auto ranks = static_cast<std::size_t>(size_);
    const auto length = static_cast<std::int64_t>(own.size());
    std::vector<std::int64_t> lengths(ranks);
    check(MPI_Allgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, work_.ranks), "MPI_Allgather");
    std::vector<int> counts, places;
    std::int64_t total = 0;
    for (const std::int64_t one : lengths) {
      places.push_back(static_cast<int>(total));
      counts.push_back(static_cast<int>(one));
      total += one;
      if (total > std::numeric_limits<int>::max())
        throw CommunicationError("gather", "bytes", text("expected less than 2 GiB, got ", total));
    }
    std::vector<std::byte> all(static_cast<std::size_t>(total));
    check(MPI_Allgatherv(own.data(), static_cast<int>(own.size()), MPI_BYTE, all.data(), counts.data(), places.data(),
                         MPI_BYTE, work_.ranks),
          "MPI_Allgatherv");
    std::vector<std::vector<std::byte>> of_ranks;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const auto begin = all.begin() + places[rank];
      of_ranks.emplace_back(begin, begin + counts[rank]);
    }
    return of_ranks;
  }
  void barrier() { check(MPI_Barrier(work_.ranks), "MPI_Barrier"); }

  /// Ends all ranks' processes with this exit status, and does not return. Says nothing: that is for who calls it.
  void abort(const std::string&, int status = 1) { MPI_Abort(MPI_COMM_WORLD, status); }

  /// Whether all ranks call this within so many seconds of this rank's call, whatever else they still had to do. To be
  /// called once, at the end: a rank that fails learns whether the others have come to an end, too, or wait for it.
  bool all_end(double seconds) {
    MPI_Request request;
    check(MPI_Ibarrier(end_.ranks, &request), "MPI_Ibarrier");
    const auto start = std::chrono::steady_clock::now();
    for (int ended = 0;;) {
      check(MPI_Test(&request, &ended, MPI_STATUS_IGNORE), "MPI_Test");
      if (ended != 0) return true;
      if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > seconds) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
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

  static void check(int error, const char* call) {
    if (error == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING + 1> words{};
    int length = 0;
    MPI_Error_string(error, words.data(), &length);
    throw CommunicationError("MPI", call, std::string(words.data(), static_cast<std::size_t>(length)));
  }

  /// Counts of MPI are int.
  template <class T, class Use>
  static void in_parts(std::span<T> all, const Use& use) {
    constexpr std::size_t most = std::size_t{1} << 30;
    for (std::size_t first = 0; first < all.size(); first += most)
      use(all.subspan(first, std::min(most, all.size() - first)));
  }

  template <class T>
  void reduce(std::span<T> numbers, MPI_Datatype type, Reduction reduction) {
    const MPI_Op operation = reduction == Reduction::sum ? MPI_SUM : MPI_MAX;
    in_parts(numbers, [&](std::span<T> part) {
      check(MPI_Allreduce(MPI_IN_PLACE, part.data(), static_cast<int>(part.size()), type, operation, work_.ranks),
            "MPI_Allreduce");
    });
  }

  Duplicate work_, end_;
  int rank_ = 0, size_ = 1;
};

static_assert(Communicator<MpiCommunicator>);

}  // namespace greentrainer
