#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <greentrainer/concepts/communicator.hpp>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace greentrainer::benchmarks {

/// A communicator whose started sums take at least the time that they would on a link of so many bytes a second: each
/// rank sends and receives 2 (n - 1) / n of a sum's bytes, one sum after the other. Counts what of that time was waited
/// for, without waiting for other ranks. All else is passed on.
template <Communicator C>
class ThrottledCommunicator {
 public:
  /// `rate`: 0 for as fast as it goes.
  ThrottledCommunicator(C& of, double rate) : of_(&of), rate_(rate) {}

  int rank() const { return of_->rank(); }
  int size() const { return of_->size(); }
  template <class T>
  void all_reduce(std::span<T> numbers, Reduction reduction) {
    of_->all_reduce(numbers, reduction);
  }
  void start_sum(std::vector<float> numbers) { start(std::move(numbers)); }
  void start_sum(std::vector<double> numbers) { start(std::move(numbers)); }
  void finish_sum(std::vector<float>& numbers) { finish(numbers); }
  void finish_sum(std::vector<double>& numbers) { finish(numbers); }
  void advance() { of_->advance(); }
  void broadcast(std::span<std::byte> bytes, int root) { of_->broadcast(bytes, root); }
  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) { return of_->gather(own); }
  void barrier() { of_->barrier(); }
  void abort(const std::string& why) { of_->abort(why); }

  /// Of the link, and of these waited for in finish_sum.
  double link_seconds() const { return link_seconds_; }
  double waited_seconds() const { return waited_seconds_; }

 private:
  using Clock = std::chrono::steady_clock;

  template <class T>
  void start(std::vector<T> numbers) {
    const double share = 2.0 * (size() - 1) / size();
    const double seconds = rate_ > 0 ? share * static_cast<double>(numbers.size() * sizeof(T)) / rate_ : 0;
    link_seconds_ += seconds;
    free_ = std::max(free_, Clock::now()) +
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    arrive_.push_back(free_);
    of_->start_sum(std::move(numbers));
  }
  template <class T>
  void finish(std::vector<T>& numbers) {
    of_->finish_sum(numbers);
    const auto start = Clock::now();  // what came before was for other ranks
    std::this_thread::sleep_until(arrive_.front());
    arrive_.pop_front();
    waited_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
  }

  C* of_;
  double rate_;
  Clock::time_point free_ = Clock::now();
  std::deque<Clock::time_point> arrive_;
  double link_seconds_ = 0, waited_seconds_ = 0;
};

}  // namespace greentrainer::benchmarks
