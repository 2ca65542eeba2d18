#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mpi.h>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "greentrainer/backends/mpi/rank_watch.hpp"
#include "greentrainer/backends/mpi/started_sum.hpp"
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
/// for one thread at a time. Waits without keeping the processor busy.
class MpiCommunicator {
 public:
  explicit MpiCommunicator(MPI_Comm ranks = MPI_COMM_WORLD)
      : work_(ranks), dealing_(ranks), collecting_(ranks), end_(ranks), watch_(ranks) {
    mpi::check(MPI_Comm_rank(work_.ranks, &rank_), "MPI_Comm_rank");
    mpi::check(MPI_Comm_size(work_.ranks, &size_), "MPI_Comm_size");
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  ~MpiCommunicator() {
    for (auto& sum : sums_) static_cast<void>(sum.of.release());  // MPI may still write to its numbers
  }

  /// A rank that does not take part in an operation within so many seconds of another is an error that names it, on the
  /// rank that waits; 0: no limit. The same on all ranks, before the first operation. Longer than a step of a rank,
  /// what it does beside it included.
  void timeout(double seconds) { watch_.limit(seconds); }

  int rank() const { return rank_; }
  int size() const { return size_; }

  void all_reduce(std::span<float> numbers, Reduction reduction) { reduce(numbers, MPI_FLOAT, reduction); }
  void all_reduce(std::span<double> numbers, Reduction reduction) { reduce(numbers, MPI_DOUBLE, reduction); }
  void all_reduce(std::span<std::int64_t> numbers, Reduction reduction) {
    reduce_by_mpi(numbers, MPI_INT64_T, reduction);
  }

  void start_sum(std::vector<float> numbers) { start(std::move(numbers)); }
  void start_sum(std::vector<double> numbers) { start(std::move(numbers)); }
  void finish_sum(std::vector<float>& numbers) { finish(numbers); }
  void finish_sum(std::vector<double>& numbers) { finish(numbers); }
  void advance() {
    for (Sum& sum : sums_) {
      if (sum.stage == Stage::dealing && sum.of->is_dealt()) {
        sum.of->collect(collecting_.ranks);
        sum.stage = Stage::collecting;
      }
      if (sum.stage == Stage::dealing) return;  // sums are collected in the order in which they were started
      if (sum.stage == Stage::collecting && sum.of->is_collected()) sum.stage = Stage::done;
    }
  }

  void broadcast(std::span<std::byte> bytes, int root) {
    in_parts(bytes, [&](std::span<std::byte> part) {
      call("MPI_Ibcast", [&](MPI_Request* request) {
        return MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, root, work_.ranks, request);
      });
    });
  }
  /// Values of a host: 2 GiB of all ranks together at most.
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) {
    const auto ranks = static_cast<std::size_t>(size_);
    const auto length = static_cast<std::int64_t>(own.size());
    std::vector<std::int64_t> lengths(ranks);
    call("MPI_Iallgather", [&](MPI_Request* request) {
      return MPI_Iallgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, work_.ranks, request);
    });
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
    call("MPI_Iallgatherv", [&](MPI_Request* request) {
      return MPI_Iallgatherv(own.data(), static_cast<int>(own.size()), MPI_BYTE, all.data(), counts.data(),
                             places.data(), MPI_BYTE, work_.ranks, request);
    });
    std::vector<std::vector<std::byte>> of_ranks;
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const auto begin = all.begin() + places[rank];
      of_ranks.emplace_back(begin, begin + counts[rank]);
    }
    return of_ranks;
  }
  void barrier() {
    call("MPI_Ibarrier", [&](MPI_Request* request) { return MPI_Ibarrier(work_.ranks, request); });
  }

  /// Ends all ranks' processes with this exit status, and does not return. Says nothing: that is for who calls it.
  void abort(const std::string&, int status = 1) { MPI_Abort(MPI_COMM_WORLD, status); }

  /// Whether all ranks call one of these two within so many seconds of this rank's call, whatever else they still had
  /// to do. One of them is to be called once, at the end: a rank that fails learns whether the others have come to an
  /// end, too, or wait for it.
  bool all_end(double seconds) {
    MPI_Request request = begin_end();
    const auto start = std::chrono::steady_clock::now();
    while (!mpi::is_done(request, "MPI_Ibarrier")) {
      if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > seconds) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  /// The same without a limit, not even the timeout: the first rank may evaluate and save for long. One that dies
  /// meanwhile is the launcher's to see.
  void all_end() { all_end(std::numeric_limits<double>::infinity()); }

 private:
  enum class Stage { dealing, collecting, done };
  struct Sum {
    std::unique_ptr<mpi::StartedSum> of;
    Stage stage = Stage::dealing;
  };

  MPI_Request begin_end() {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(MPI_Ibarrier(end_.ranks, &request), "MPI_Ibarrier");
    return request;
  }

  /// Begins an operation and waits for it.
  template <class Begin>
  void call(const char* name, const Begin& begin) {
    MPI_Request request = MPI_REQUEST_NULL;
    mpi::check(begin(&request), name);
    watch_.wait([&] {
      advance();
      return mpi::is_done(request, name);
    });
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
    if (reduction != Reduction::sum) return reduce_by_mpi(numbers, type, reduction);
    in_parts(numbers, [&](std::span<T> part) {
      mpi::StartedSumOf<T> sum(part);
      sum.deal(work_.ranks);
      watch_.wait([&] {
        advance();
        return sum.is_dealt();
      });
      sum.collect(work_.ranks);
      watch_.wait([&] {
        advance();
        return sum.is_collected();
      });
    });
  }
  /// Where the order makes no difference.
  template <class T>
  void reduce_by_mpi(std::span<T> numbers, MPI_Datatype type, Reduction reduction) {
    const MPI_Op operation = reduction == Reduction::sum ? MPI_SUM : MPI_MAX;
    in_parts(numbers, [&](std::span<T> part) {
      call("MPI_Iallreduce", [&](MPI_Request* request) {
        return MPI_Iallreduce(MPI_IN_PLACE, part.data(), static_cast<int>(part.size()), type, operation, work_.ranks,
                              request);
      });
    });
  }

  template <class T>
  void start(std::vector<T> numbers) {
    auto sum = std::make_unique<mpi::StartedSumOf<T>>(std::move(numbers));
    sum->deal(dealing_.ranks);
    sums_.push_back({.of = std::move(sum)});
  }
  template <class T>
  void finish(std::vector<T>& numbers) {
    auto* const oldest = sums_.empty() ? nullptr : dynamic_cast<mpi::StartedSumOf<T>*>(sums_.front().of.get());
    if (oldest == nullptr)
      throw CommunicationError("MPI", "finish_sum", "expected a sum of this type that was started, got none");
    watch_.wait([&] {
      advance();
      return sums_.front().stage == Stage::done;
    });
    numbers = oldest->take();
    sums_.pop_front();
  }

  mpi::Duplicate work_, dealing_, collecting_, end_;
  mpi::RankWatch watch_;
  int rank_ = 0, size_ = 1;
  std::deque<Sum> sums_;  ///< on the way, the oldest first
};

static_assert(Communicator<MpiCommunicator>);

}  // namespace greentrainer
