#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "greentrainer/concepts/communicator.hpp"
#include "greentrainer/core/expect_option.hpp"

namespace greentrainer {

/// Ranks in one process, a thread each: for tests, and to try several ranks without a launcher. Sums are added in the
/// order of the ranks, so that results are the same bits every time.
class ThreadGroup {
 public:
  class Communicator;

  /// Throws ConfigError for fewer than one rank.
  explicit ThreadGroup(int size) {
    expect_option(size >= 1, "ThreadGroup", "size", "at least 1", size);
    offers_.resize(static_cast<std::size_t>(size));
  }

  int size() const { return static_cast<int>(offers_.size()); }

  /// Calls work(communicator) on every rank and waits for all. A rank that throws ends the others, and what it threw is
  /// thrown here: that of the first to do so.
  void run(const std::function<void(Communicator&)>& work);

 private:
  /// What a rank brings to a collective operation.
  struct Offer {
    std::string_view operation;
    std::span<const std::byte> bytes;
    int detail = 0;  ///< reduction or root: the same on all ranks
  };

  /// Waits until all ranks are here.
  void meet() {
    std::unique_lock lock(mutex_);
    expect_nobody_ended();
    const std::uint64_t now = meetings_;
    if (++arrived_ == size()) {
      arrived_ = 0;
      ++meetings_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return meetings_ != now || ended_rank_ >= 0; });
    if (meetings_ == now) expect_nobody_ended();
  }
  void end(int rank, const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (ended_rank_ >= 0) return;
    ended_rank_ = rank;
    why_ = why;
    changed_.notify_all();
  }
  void expect_nobody_ended() const {
    if (ended_rank_ >= 0) throw CommunicationError("ranks", text("rank ", ended_rank_), "has ended: " + why_);
  }

  /// A sum on the way: added up, in the order of the ranks, by the last of them to start it.
  struct Sum {
    std::vector<std::vector<std::byte>> of_ranks;  ///< its numbers
    int started = 0, finished = 0;
    std::vector<std::byte> result = {};
  };

  template <class T>
  void start_sum(int rank, std::uint64_t number, const std::vector<T>& numbers) {
    const std::lock_guard lock(mutex_);
    expect_nobody_ended();
    Sum& sum = sums_[number];
    sum.of_ranks.resize(offers_.size());
    const auto bytes = std::as_bytes(std::span(numbers));
    sum.of_ranks[static_cast<std::size_t>(rank)].assign(bytes.begin(), bytes.end());
    if (++sum.started < size()) return;
    std::vector<T> total(numbers.size()), one(numbers.size());
    for (std::size_t r = 0; r < sum.of_ranks.size(); ++r) {
      if (sum.of_ranks[r].size() != bytes.size())
        throw CommunicationError(
            "ranks", text("rank ", r),
            text("expected a sum of ", bytes.size(), " bytes as on rank ", rank, ", got ", sum.of_ranks[r].size()));
      if (one.empty()) continue;
      std::memcpy(one.data(), sum.of_ranks[r].data(), bytes.size());
      for (std::size_t i = 0; i < one.size(); ++i) total[i] = r == 0 ? one[i] : total[i] + one[i];
    }
    const auto summed = std::as_bytes(std::span(total));
    sum.result.assign(summed.begin(), summed.end());
    changed_.notify_all();
  }
  template <class T>
  void finish_sum(std::uint64_t number, std::vector<T>& numbers) {
    std::unique_lock lock(mutex_);
    const auto found = sums_.find(number);
    if (found == sums_.end())
      throw CommunicationError("ranks", "finish_sum", "expected a sum that was started, got none");
    Sum& sum = found->second;
    changed_.wait(lock, [&] { return sum.started == size() || ended_rank_ >= 0; });
    if (sum.started < size()) expect_nobody_ended();
    numbers.resize(sum.result.size() / sizeof(T));
    if (!numbers.empty()) std::memcpy(numbers.data(), sum.result.data(), sum.result.size());
    if (++sum.finished == size()) sums_.erase(number);
  }

  /// Calls use(offers of all ranks), on every rank, while they all stand.
  template <class Use>
  void exchange(int rank, const Offer& own, const Use& use) {
    offers_[static_cast<std::size_t>(rank)] = own;
    meet();
    for (std::size_t other = 0; other < offers_.size(); ++other) expect_same(own, other);
    use(std::span<const Offer>(offers_));
    meet();
  }
  void expect_same(const Offer& own, std::size_t rank) const {
    const Offer& other = offers_[rank];
    const bool same_size = own.operation == "gather" || own.bytes.size() == other.bytes.size();
    if (own.operation == other.operation && own.detail == other.detail && same_size) return;
    throw CommunicationError("ranks", text("rank ", rank),
                             text("expected ", own.operation, " of ", own.bytes.size(),
                                  " bytes as on other ranks, got ", other.operation, " of ", other.bytes.size()));
  }

  std::vector<Offer> offers_;
  std::map<std::uint64_t, Sum> sums_;  ///< by their number
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0, ended_rank_ = -1;
  std::uint64_t meetings_ = 0;
  std::string why_;
};

/// A rank of a ThreadGroup, which must outlive it. A Communicator.
class ThreadGroup::Communicator {
 public:
  Communicator(ThreadGroup& group, int rank) : group_(&group), rank_(rank) {}

  int rank() const { return rank_; }
  int size() const { return group_->size(); }

  void all_reduce(std::span<float> numbers, Reduction reduction) { reduce(numbers, reduction); }
  void all_reduce(std::span<double> numbers, Reduction reduction) { reduce(numbers, reduction); }
  void all_reduce(std::span<std::int64_t> numbers, Reduction reduction) { reduce(numbers, reduction); }

  void start_sum(std::vector<float> numbers) { group_->start_sum(rank_, started_++, numbers); }
  void start_sum(std::vector<double> numbers) { group_->start_sum(rank_, started_++, numbers); }
  void finish_sum(std::vector<float>& numbers) { group_->finish_sum(finished_++, numbers); }
  void finish_sum(std::vector<double>& numbers) { group_->finish_sum(finished_++, numbers); }
  void advance() {}  // the last rank to start a sum adds it up

  void broadcast(std::span<std::byte> bytes, int root) {
    exchange("broadcast", bytes, root, [&](std::span<const Offer> all) {
      const auto from = all[static_cast<std::size_t>(root)].bytes;
      if (rank_ != root) std::copy(from.begin(), from.end(), bytes.begin());
    });
  }
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) {
    std::vector<std::vector<std::byte>> all;
    exchange("gather", own, 0, [&](std::span<const Offer> offers) {
      for (const Offer& offer : offers) all.emplace_back(offer.bytes.begin(), offer.bytes.end());
    });
    return all;
  }
  void barrier() {
    exchange("barrier", {}, 0, [](std::span<const Offer>) {});
  }
  void abort(const std::string& why) { group_->end(rank_, why); }

 private:
  template <class Use>
  void exchange(std::string_view operation, std::span<const std::byte> own, int detail, const Use& use) {
    group_->exchange(rank_, {.operation = operation, .bytes = own, .detail = detail}, use);
  }

  template <class T>
  void reduce(std::span<T> numbers, Reduction reduction) {
    std::vector<T> result(numbers.size());
    exchange("all_reduce", std::as_bytes(numbers), static_cast<int>(reduction), [&](std::span<const Offer> all) {
      std::vector<T> one(numbers.size());
      for (std::size_t r = 0; r < all.size(); ++r) {
        if (!one.empty()) std::memcpy(one.data(), all[r].bytes.data(), all[r].bytes.size());
        for (std::size_t i = 0; i < one.size(); ++i) {
          if (r == 0)
            result[i] = one[i];
          else
            result[i] = reduction == Reduction::sum ? result[i] + one[i] : std::max(result[i], one[i]);
        }
      }
    });
    std::copy(result.begin(), result.end(), numbers.begin());
  }

  ThreadGroup* group_;
  int rank_;
  std::uint64_t started_ = 0, finished_ = 0;  ///< sums
};

static_assert(Communicator<ThreadGroup::Communicator>);

inline void ThreadGroup::run(const std::function<void(Communicator&)>& work) {
  std::vector<std::exception_ptr> thrown(offers_.size());
  const auto run_rank = [&](int rank) {
    Communicator communicator(*this, rank);
    try {
      work(communicator);
    } catch (const std::exception& error) {
      thrown[static_cast<std::size_t>(rank)] = std::current_exception();
      communicator.abort(error.what());
    } catch (...) {
      thrown[static_cast<std::size_t>(rank)] = std::current_exception();
      communicator.abort("an error of unknown type");
    }
  };
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size(); ++rank) threads.emplace_back(run_rank, rank);
  threads.clear();  // waits
  if (ended_rank_ < 0) return;
  const std::exception_ptr& first = thrown[static_cast<std::size_t>(ended_rank_)];
  if (first != nullptr) std::rethrow_exception(first);
  expect_nobody_ended();  // it has called abort
}

}  // namespace greentrainer
