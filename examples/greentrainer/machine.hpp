#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer::program {

/// The processor and how many of its cores are ours, such as "AMD EPYC, 2 cores".
std::string machine_name();

/// The most memory that this process has had, as the system counts it.
Bytes peak_memory();
/// What it has now.
Bytes resident_memory();

/// FLOPs a second that `threads` threads can do in float, from a short measurement.
double measured_peak(int threads);

/// Energy of the processors since construction, where Linux lets us read their counters (RAPL).
class EnergyMeter {
 public:
  EnergyMeter();
  /// To be called now and then: the counters start again from zero every few minutes to hours.
  void sample();
  /// Nothing where it cannot be measured.
  std::optional<double> joules();

 private:
  struct Counter {
    std::filesystem::path file;
    std::uint64_t last = 0;
    std::uint64_t range = 0;
  };
  std::vector<Counter> counters_;
  double microjoules_ = 0;
  bool readable_ = true;
};

/// Takes Ctrl-C and SIGTERM, so that a run can end after the step it is in. A second one ends the program at once.
void watch_for_interrupts();
bool interrupted();

}  // namespace greentrainer::program
