#pragma once

#include <optional>
#include <string>

#include "greentrainer/io/energy_meter.hpp"

namespace greentrainer::program {

/// The energy of what computes, from now on: of the processors, where the backend computes on them.
class RunEnergy {
 public:
  template <class B>
  explicit RunEnergy(const B&) {
    // The processors' counters know nothing of a device, whose share would be missing without a word.
    if constexpr (requires(B & b) { b.memory().peak; })
      problem_ = "the processors' counters do not count the GPU, which computes";
    else
      meter_.emplace();
  }

  /// Nothing where it is not measured.
  std::optional<double> joules() { return meter_ ? meter_->joules() : std::nullopt; }
  /// Why it is not measured; empty where it is.
  const std::string& problem() const { return meter_ ? meter_->problem() : problem_; }
  /// Of this object, which must outlive it; empty where nothing is measured.
  EnergyReading reading() {
    if (!problem().empty()) return {};
    return [this] { return joules(); };
  }

 private:
  std::optional<EnergyMeter> meter_;
  std::string problem_;
};

}  // namespace greentrainer::program
