#include "machine.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "../../benchmarks/machine_peak.hpp"
#include "greentrainer/core/error.hpp"

namespace greentrainer::program {

namespace {

volatile std::sig_atomic_t interrupt_seen = 0;

extern "C" void note_interrupt(int number) {
  if (interrupt_seen != 0) {  // a second one, of whatever kind: at once
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  interrupt_seen = 1;
}

/// The number behind this word at the beginning of a line of a file; 0 where there is none.
Bytes number_of(const std::filesystem::path& file, const std::string& word) {
  std::ifstream in(file);
  std::string key;
  Bytes number = 0;
  for (std::string rest; in >> key >> number && std::getline(in, rest);) {
    if (key == word) return number;
  }
  return 0;
}

}  // namespace

std::string machine_name() {
  std::ifstream in("/proc/cpuinfo");
  std::string name = "unknown processor";
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("model name")) continue;
    name = line.substr(std::min(line.size(), line.find(':') + 2));
    break;
  }
  return text(name, ", ", std::max(1U, std::thread::hardware_concurrency()), " cores");
}

Bytes peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<Bytes>(usage.ru_maxrss) * 1024;
}

Bytes resident_memory() {
  std::ifstream in("/proc/self/statm");
  Bytes all = 0, resident = 0;
  if (!(in >> all >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

void give_back_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

Bytes machine_memory() { return number_of("/proc/meminfo", "MemTotal:") * 1024; }

Bytes available_memory() {
  Bytes least = number_of("/proc/meminfo", "MemAvailable:") * 1024;
  const std::filesystem::path root = "/sys/fs/cgroup";
  std::string own;  // "0::/path"
  std::getline(std::ifstream("/proc/self/cgroup"), own);
  if (!own.starts_with("0::/")) return least;
  for (auto group = root / own.substr(4);; group = group.parent_path()) {
    Bytes most = 0, taken = 0;
    // Pages of files that nobody uses can be had back.
    if (std::ifstream(group / "memory.max") >> most && std::ifstream(group / "memory.current") >> taken)
      least = std::min(least, std::max<Bytes>(0, most - taken + number_of(group / "memory.stat", "inactive_file")));
    if (group == root || !group.has_relative_path()) return least;
  }
}

double measured_peak(int threads) { return 1e9 * measure_peak_gflops(threads); }

void watch_for_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);  // under nohup, a closed terminal is no reason to stop
}

bool interrupted() { return interrupt_seen != 0; }

}  // namespace greentrainer::program
