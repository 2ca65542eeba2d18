#include "machine.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <unistd.h>

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

std::optional<std::uint64_t> read_number(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (!(in >> value)) return std::nullopt;
  return value;
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

double measured_peak(int threads) { return 1e9 * measure_peak_gflops(threads); }

EnergyMeter::EnergyMeter() {
  // Packages are /sys/class/powercap/intel-rapl:N; intel-rapl:N:M are parts of them.
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/sys/class/powercap", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    constexpr std::string_view prefix = "intel-rapl:";
    if (!name.starts_with(prefix) || name.find(':', prefix.size()) != std::string::npos) continue;
    std::ifstream in(entry->path() / "name");
    std::string domain;
    if (!(in >> domain) || !domain.starts_with("package")) continue;
    const auto now = read_number(entry->path() / "energy_uj");
    if (now)
      counters_.push_back(
          {entry->path() / "energy_uj", *now, read_number(entry->path() / "max_energy_range_uj").value_or(0)});
    readable_ = readable_ && now.has_value();
  }
}

void EnergyMeter::sample() {
  for (Counter& counter : counters_) {
    const auto now = read_number(counter.file);
    if (!now || (*now < counter.last && counter.range == 0)) {
      readable_ = false;
      return;
    }
    microjoules_ +=
        static_cast<double>(*now >= counter.last ? *now - counter.last : *now + counter.range - counter.last);
    counter.last = *now;
  }
}

std::optional<double> EnergyMeter::joules() {
  sample();
  if (counters_.empty() || !readable_) return std::nullopt;
  return microjoules_ / 1e6;
}

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
