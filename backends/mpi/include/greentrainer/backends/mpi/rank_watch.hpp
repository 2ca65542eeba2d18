#pragma once

#include <algorithm>
#include <chrono>
#include <mpi.h>
#include <string>
#include <thread>
#include <vector>

#include "greentrainer/backends/mpi/call.hpp"

namespace greentrainer::mpi {

/// Waits for what all ranks take part in, and finds out who does not. A rank that has waited for nearly as long as the
/// limit asks all others whether they wait, too; those that do answer. Who does not answer within a second hangs, or
/// works for longer than the limit. A rank leaves it to lower ones that ask at the same time.
class RankWatch {
 public:
  explicit RankWatch(MPI_Comm ranks) : messages_(ranks) {
    check(MPI_Comm_rank(messages_.ranks, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(messages_.ranks, &size_), "MPI_Comm_size");
  }

  /// Seconds; 0: none.
  void limit(double seconds) { limit_ = Seconds(seconds); }

  /// Returns as soon as done(). Throws CommunicationError naming the ranks that have not taken part within the limit.
  template <class Done>
  void wait(const Done& done) {
    const auto start = Clock::now();
    begin(start);
    rounds_of_answers_ = 0;
    for (auto looked = start; !done();) {
      const auto now = Clock::now();
      if (now - start < spinning) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (limit_ == Seconds(0) || now - looked < std::chrono::milliseconds(10)) continue;
      looked = now;
      look(now);
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  enum Tag { question = 1, answer = 2 };
  static constexpr auto spinning = std::chrono::milliseconds(2);
  static constexpr Seconds patience{1};

  void begin(Clock::time_point now) {
    waits_since_ = asked_ = now;
    is_asking_ = false;
  }

  void look(Clock::time_point now) {
    for (;;) {
      int there = 0;
      MPI_Status status;
      check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, messages_.ranks, &there, &status), "MPI_Iprobe");
      if (there == 0) break;
      int round = 0;
      check(MPI_Recv(&round, 1, MPI_INT, status.MPI_SOURCE, status.MPI_TAG, messages_.ranks, MPI_STATUS_IGNORE),
            "MPI_Recv");
      if (status.MPI_TAG == answer) {
        if (is_asking_ && round == round_) answered_[static_cast<std::size_t>(status.MPI_SOURCE)] = true;
        continue;
      }
      send(status.MPI_SOURCE, answer, round);
      if (!is_asking_ || status.MPI_SOURCE < rank_) begin(now);  // that rank ends all, or finds that all wait
    }
    if (!is_asking_ && now - waits_since_ >= std::max(limit_ - patience, limit_ / 2)) {
      is_asking_ = true;
      asked_ = now;
      ++round_;
      answered_.assign(static_cast<std::size_t>(size_), false);
      answered_[static_cast<std::size_t>(rank_)] = true;
      for (int rank = 0; rank < size_; ++rank)
        if (rank != rank_) send(rank, question, round_);
    } else if (is_asking_ && now - asked_ >= patience) {
      judge(now);
    }
  }

  /// The time for answers is over.
  void judge(Clock::time_point now) {
    std::string missing;
    int count = 0;
    for (int rank = 0; rank < size_; ++rank) {
      if (answered_[static_cast<std::size_t>(rank)]) continue;
      missing += (count++ > 0 ? ", " : "") + std::to_string(rank);
    }
    const std::string within = text("within ", limit_.count(), " seconds");
    if (count > 0) {
      throw CommunicationError("ranks", text(count > 1 ? "ranks " : "rank ", missing),
                               text("expected to take part in what rank ", rank_, " waits for ", within,
                                    ", got no answer: it hangs, or works for longer than the ranks' timeout"));
    }
    is_asking_ = false;
    waits_since_ = now;  // the last one may have come just now
    if (++rounds_of_answers_ > 1) {
      throw CommunicationError("ranks", "all",
                               text("expected to get on ", within,
                                    ", got ranks that all wait: for different things, or the network is stuck"));
    }
  }

  /// A message so small that it is on its way at once.
  void send(int rank, Tag tag, int round) {
    check(MPI_Send(&round, 1, MPI_INT, rank, tag, messages_.ranks), "MPI_Send");
  }

  Duplicate messages_;
  int rank_ = 0, size_ = 1;
  Seconds limit_{0};
  Clock::time_point waits_since_, asked_;
  bool is_asking_ = false;
  int round_ = 0, rounds_of_answers_ = 0;
  std::vector<bool> answered_;
};

}  // namespace greentrainer::mpi
