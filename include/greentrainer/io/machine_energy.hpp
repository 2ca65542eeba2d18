#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "greentrainer/io/energy_meter.hpp"
#include "greentrainer/io/gpu_energy_meter.hpp"

namespace greentrainer {

/// Where a machine's energy counters are.
struct EnergySources {
  std::filesystem::path powercap = "/sys/class/powercap";
  std::string nvml = "libnvidia-ml.so.1";
};

/// What one part of a machine has taken.
struct EnergyPart {
  std::string name;
  std::optional<double> joules;
  std::string problem;  ///< why it was not measured; empty where it was
};

/// Of all of them; nothing where one was not measured, since its share would be missing without a word.
inline std::optional<double> total_joules(const std::vector<EnergyPart>& parts) {
  double sum = 0;
  for (const EnergyPart& part : parts) {
    if (!part.joules) return std::nullopt;
    sum += *part.joules;
  }
  return sum;
}

/// Why there is no such sum; empty where there is.
inline std::string problem_of(const std::vector<EnergyPart>& parts) {
  std::string problem;
  for (const EnergyPart& part : parts) problem += (problem.empty() || part.problem.empty() ? "" : "; ") + part.problem;
  return problem;
}

/// Seconds between two changes of a counter, from four of them; nothing where they take longer than `patience` seconds,
/// or it cannot be read. `clock`: seconds from any time on.
inline std::optional<double> interval_of(const EnergyReading& reading, const std::function<double()>& clock,
                                         double patience = 2) {
  constexpr int changes = 4;
  const double begin = clock();
  std::optional<double> last = reading();
  double first_change = 0;
  for (int seen = 0; last && clock() - begin < patience;) {
    const std::optional<double> now = reading();
    if (now == last) continue;
    last = now;
    if (seen++ == 0) first_change = clock();
    if (seen == changes + 1) return (clock() - first_change) / changes;
  }
  return std::nullopt;
}

/// The energy of what a run computes on, since construction: of the machine's processors and, beside a GPU, of that
/// GPU.
class MachineEnergy {
 public:
  /// `gpu`: PCI bus address of the GPU that computes, such as CudaBackend::pci_bus_address; empty without one.
  explicit MachineEnergy(const std::string& gpu = {}, const EnergySources& sources = {})
      : processors_(sources.powercap) {
    if (!gpu.empty()) gpu_.emplace(gpu, sources.nvml);
  }

  /// The processors first.
  std::vector<EnergyPart> parts() {
    std::vector<EnergyPart> parts;
    parts.push_back({"processors", processors_.joules(), processors_.problem()});
    if (gpu_) parts.push_back({gpu_->name(), gpu_->joules(), gpu_->problem()});
    return parts;
  }
  /// Of all parts together; nothing where one of them cannot be measured.
  std::optional<double> joules() { return total_joules(parts()); }
  /// Why it is not measured; empty where it is.
  std::string problem() { return problem_of(parts()); }
  /// Seconds between two changes of the slowest counter; nothing where that cannot be told within so many seconds.
  std::optional<double> interval(double patience = 2) {
    const auto start = std::chrono::steady_clock::now();
    const auto clock = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    std::optional<double> slowest = interval_of([this] { return processors_.joules(); }, clock, patience);
    if (!gpu_ || !slowest) return slowest;
    const std::optional<double> gpu = interval_of([this] { return gpu_->joules(); }, clock, patience);
    return gpu ? std::max(*slowest, *gpu) : gpu;
  }
  /// Of this object, which must outlive it; empty where nothing is measured.
  EnergyReading reading() {
    if (!problem().empty()) return {};
    return [this] { return joules(); };
  }

 private:
  EnergyMeter processors_;
  std::optional<GpuEnergyMeter> gpu_;
};

}  // namespace greentrainer
