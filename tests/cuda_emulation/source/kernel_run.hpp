#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cuda_emulation/emulation.hpp"
#include "cuda_emulation/kernel_language.hpp"
#include "cuda_emulation/source/fault.hpp"
#include "cuda_emulation/source/fiber.hpp"
#include "cuda_emulation/source/shared_memory.hpp"

namespace greentrainer::cuda_emulation {

struct Launch {
  std::string kernel;
  dim3 grid, block;
  std::size_t dynamic_shared = 0;
  std::size_t shared_limit = 0;  ///< of static and dynamic shared memory together
  std::function<void()> thread;  ///< what each thread does
};

/// "norms.cuh:42"
std::string text_of(const Site& site);

/// Which of several that could run goes first.
class Scheduler {
 public:
  Scheduler(Order order, unsigned seed) : order_(order), random_(seed) {}

  /// 0, 1, ..., count - 1 in the order in which they run.
  void arrange(std::vector<int>& items, int count);
  /// Which of so many arranged ones runs next.
  std::size_t choose(std::size_t count) { return order_ == Order::random ? random_() % count : 0; }

 private:
  Order order_;
  std::minstd_rand random_;
};

/// One launch: its blocks one after another; of a block, one warp as far as it gets before the next; of a warp, each
/// lane until it waits for others.
class KernelRun {
 public:
  /// `stream`: what happened on it before, and what will. `barriers`: where lines whose barriers held threads up are
  /// noted.
  KernelRun(const Launch& launch, Clock& stream, Stacks& stacks, Scheduler& scheduler,
            const std::string& without_barrier, std::vector<Site>& barriers);
  KernelRun(const KernelRun&) = delete;
  KernelRun& operator=(const KernelRun&) = delete;
  ~KernelRun();

  /// Throws Fault.
  void run();

  /// The one that runs, or null.
  static KernelRun* active();
  /// Whether code of a kernel runs.
  bool in_kernel() const { return in_kernel_; }

  // Called by the thread that runs.
  void block_barrier(Site site);
  void warp_barrier(unsigned mask, Site site);
  std::uint64_t exchange(unsigned mask, std::uint64_t value, int source, Site site);
  int lane() const { return running_ % warpSize; }
  void* shared_memory(const void* identity, const char* name, std::size_t bytes);
  void* dynamic_shared_memory() const { return shared_.dynamic(); }
  // A fault of this thread, and then the end of the launch. Two calls, so that nothing is left on a stack that nobody
  // cleans up.
  void blame(cudaError_t code, const std::string& what);
  void abandon() { self().fiber.wait(); }

  // For the signal handler.
  std::byte* empty_stack() { return self().fiber.empty_stack(); }
  /// Of shared memory and stacks; empty for others.
  std::string describe(const void* address) const;

 private:
  enum class State { ready, at_barrier, at_warp_operation, returned };
  struct Thread {
    Fiber fiber;
    uint3 index;
    State state = State::ready;
    Site site = {};  ///< of the barrier or warp operation it waits for, or passed last
    // Of the warp operation it waits for:
    unsigned mask = 0;
    int source = 0;
    std::uint64_t value = 0;
  };

  /// A warp operation that lanes wait for.
  struct Meeting {
    Site site;
    unsigned mask;
    unsigned arrived;
    Clock* clock;
  };

  static void thread_entry(void* run);
  void run_block();
  void run_warps();
  bool run_pass(int warp);
  void resume(int thread);
  void wait(State state, Site site, Clock* clock);
  bool wait_for_warp(unsigned mask, Site site);
  void release_warp(unsigned mask);
  bool release_barrier();
  [[noreturn]] void explain_stuck_warp(int warp);
  Clock* new_clock();
  bool removed(const Site& site) const;
  void note_barrier(const Site& site);
  std::string where(int thread) const;
  Thread& self() { return threads_[static_cast<std::size_t>(running_)]; }
  Thread& of_warp(int warp, int lane) { return threads_[static_cast<std::size_t>(warp * warpSize + lane)]; }
  int lanes(int warp) const;

  const Launch& launch_;
  Clock& stream_;
  Stacks& stacks_;
  Scheduler& scheduler_;
  const std::string& without_barrier_;
  std::vector<Site>& barriers_;
  SharedMemory shared_;
  std::vector<Thread> threads_;
  std::vector<std::vector<Meeting>> meetings_;  ///< of each warp
  std::vector<int> warps_, lanes_;              ///< arranged
  int running_ = 0;
  bool in_kernel_ = false;
  std::optional<Fault> fault_;  ///< that the thread that ran has found
  Clock start_, end_;           ///< of the launch
  Clock* barrier_clock_ = nullptr;
  std::deque<Clock> clocks_;  ///< of the block's barriers and warp operations
};

}  // namespace greentrainer::cuda_emulation
