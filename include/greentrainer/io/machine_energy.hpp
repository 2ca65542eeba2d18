#pragma once

#include <filesystem>
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
