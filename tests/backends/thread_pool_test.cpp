#include "greentrainer/backends/eigen/thread_pool.hpp"

#include <atomic>
#include <fstream>
#include <system_error>
#include <thread>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "support/skip.hpp"

using greentrainer::eigen::ThreadPool;

namespace {

/// The number that `run()` gives in a process whose memory has no room for another thread's stack.
template <class Run>
int without_room_for_threads(Run run) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t room = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{4} << 20);
    const rlimit limit{room, room};
    int result = 100;
    if (::setrlimit(RLIMIT_AS, &limit) == 0) {
      try {
        for (;;) {  // stacks of threads that ended before are used again: take them all
          std::thread([] { ::pause(); }).detach();
        }
      } catch (const std::system_error&) {
        result = 101;
      }
      try {
        result = run();
      } catch (...) {
        result = 102;
      }
    }
    ::_exit(result);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("every task runs once, whatever the number of threads") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (const int tasks : {0, 1, 3, 100}) {
      std::atomic<int> runs{0};
      pool.parallel_for(tasks, [&](auto, int worker) {
        if (worker >= 0 && worker < threads) ++runs;
      });
      CHECK(runs == tasks);
    }
  }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GREENTRAINER_TEST_INSTRUMENTED
#endif

TEST_CASE("threads that the system does not start are an error where they were asked for") {
#if defined(GREENTRAINER_TEST_INSTRUMENTED)
  GREENTRAINER_SKIP("sanitizers take more address space than a limit can leave");
#else
  const int said = without_room_for_threads([] {
    try {
      ThreadPool pool(64);
    } catch (const greentrainer::BackendError& error) {
      return error.subject() == "threads" ? 1 : 2;
    }
    return 3;
  });
  CHECK(said == 1);
#endif
}

TEST_CASE("threads that the system does not start are done without where all cores were asked for") {
#if defined(GREENTRAINER_TEST_INSTRUMENTED)
  GREENTRAINER_SKIP("sanitizers take more address space than a limit can leave");
#else
  const int said = without_room_for_threads([] {
    ThreadPool pool(0);
    std::atomic<int> runs{0};
    pool.parallel_for(100, [&](auto, int) { ++runs; });
    return pool.size() == 1 && runs == 100 ? 1 : 2;
  });
  CHECK(said == 1);
#endif
}
