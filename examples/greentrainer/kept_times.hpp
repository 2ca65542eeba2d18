#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "console.hpp"
#include "greentrainer/data/collate.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "greentrainer/train/calibrate.hpp"
#include "greentrainer/train/run_identity.hpp"

namespace greentrainer::program {

/// Operator times of one machine, backend and build, kept in a file of the user's cache folder
/// ($XDG_CACHE_HOME/greentrainer, or ~/.cache/greentrainer) from one run to the next.
class KeptTimes {
 public:
  /// `backend`: its name, threads included.
  explicit KeptTimes(const std::string& backend);

  /// Where they are kept; empty where the environment names no folder.
  const std::filesystem::path& file() const { return file_; }
  /// What is kept; nothing where there is no file. A file that is not one of ours is passed over, which is said.
  OperatorTimes load() const;
  /// Keeps these instead. Where that fails it is said: nothing depends on it.
  void save(const OperatorTimes& times) const;

 private:
  Json description_;  ///< of machine, backend and build
  std::filesystem::path file_;
};

/// Batches to measure with: the run's first one, and its first example alone.
std::vector<Batch> calibration_batches(std::span<const Example> examples, Extent batch_size);

/// The times of a model's operators and of this optimizer's updates: those kept, or measured now on these examples and
/// kept; `anew`: measured in any case. With `energy`, what is measured says how many watts it took.
template <Backend B, class OptimizerOptions>
OperatorTimes times_of(Model<B>& model, std::span<const Example> examples, Extent batch_size,
                       const OptimizerOptions& optimizer, bool anew = false, MachineEnergy* energy = nullptr) {
  const KeptTimes kept(model.backend().name());
  OperatorTimes times = kept.load();
  const auto made = make_optimizer(model.backend(), optimizer);
  const bool updates =
      times.per_update.contains(update_key(made->flops_per_element(), made->state_bytes_per_element()));
  if (!anew && updates && first_unmeasured(model.graph(), times).empty()) {
    say("times of operators from " + kept.file().string());
    return times;
  }
  const auto start = TrainingClock::now();
  const std::vector<Batch> batches = calibration_batches(examples, batch_size);
  CalibrationOptions options;
  if (energy != nullptr && energy->problem().empty())
    options = {.energy = energy->reading(), .energy_interval = energy->interval().value_or(0)};
  times = calibrate(model, std::span<const Batch>(batches), optimizer, options, std::move(times));
  say(text("times of operators measured in ", fixed(seconds_since(start), 1), " s",
           kept.file().empty() ? "" : ", kept in " + kept.file().string()));
  kept.save(times);
  return times;
}

}  // namespace greentrainer::program
