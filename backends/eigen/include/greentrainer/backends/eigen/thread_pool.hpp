#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer::eigen {

/// Threads that wait for tasks. Tasks are handed out one by one to whoever is free, so they must not care where or in
/// what order they run: what is computed may depend on the number of tasks, never on the number of threads.
class ThreadPool {
 public:
  /// The most threads of a pool: each has scratch memory of its own, and many more than the machine runs at once are a
  /// mistake. Some more are allowed, to see that results do not depend on their number.
  static int most_threads() { return std::max(64, 4 * static_cast<int>(std::thread::hardware_concurrency())); }

  /// As many as the machine runs at once.
  static int usual_threads() { return static_cast<int>(std::max(1U, std::thread::hardware_concurrency())); }

  /// `threads` in all, the caller's included; 0 means as many as the machine runs at once, or as many of them as can be
  /// started. Throws BackendError if `threads` cannot be started, ConfigError for more than most_threads().
  explicit ThreadPool(int threads) {
    expect_option(threads >= 0 && threads <= most_threads(), "EigenBackend", "threads",
                  text("0, as many as the machine runs at once, or 1 to ", most_threads()), threads);
    const bool as_many_as_possible = threads == 0;
    if (as_many_as_possible) threads = usual_threads();
    threads_.reserve(static_cast<std::size_t>(threads - 1));
    for (int worker = 1; worker < threads; ++worker) {
      try {
        threads_.emplace_back([this, worker] { serve(worker); });
      } catch (const std::system_error& error) {
        if (as_many_as_possible) break;
        stop();
        throw BackendError("eigen", "threads",
                           text("expected ", threads, " that can be started, got ", worker, " (",
                                error.code().message(), "); is there a limit on processes or memory (ulimit)?"));
      }
    }
    size_ = 1 + static_cast<int>(threads_.size());
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { stop(); }

  int size() const { return size_; }

  /// Calls run(task, worker) for each task in [0, tasks), worker in [0, size()); returns when all are done. `run` must
  /// not throw, nor call this.
  template <class Run>
  void parallel_for(Extent tasks, Run&& run) {
    if (size_ == 1 || tasks <= 1) {
      for (Extent task = 0; task < tasks; ++task) run(task, 0);
      return;
    }
    using Callable = std::remove_reference_t<Run>;
    call_ = [](void* callable, Extent task, int worker) { (*static_cast<Callable*>(callable))(task, worker); };
    callable_ = const_cast<void*>(static_cast<const void*>(&run));
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(size_ - 1, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    take_tasks(0);
    for (int busy = busy_.load(std::memory_order_acquire); busy != 0; busy = busy_.load(std::memory_order_acquire))
      busy_.wait(busy);
  }

 private:
  void stop() {
    stop_ = true;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void serve(int worker) {
    for (unsigned seen = 0;;) {
      round_.wait(seen, std::memory_order_acquire);
      seen = round_.load(std::memory_order_acquire);
      if (stop_) return;
      take_tasks(worker);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }
  void take_tasks(int worker) {
    for (Extent task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) call_(callable_, task, worker);
  }

  int size_ = 1;
  void (*call_)(void*, Extent, int) = nullptr;
  void* callable_ = nullptr;
  Extent tasks_ = 0;
  bool stop_ = false;  // written before round_ is released, read after it was acquired, as the three above
  alignas(64) std::atomic<Extent> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  alignas(64) std::atomic<unsigned> round_{0};
  std::vector<std::thread> threads_;
};

}  // namespace greentrainer::eigen
