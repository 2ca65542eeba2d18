#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiment_plan.hpp"
#include "greentrainer/io/json.hpp"

namespace greentrainer::program {

/// One run of an experiment: a method with a seed. It is two commands of this program, each in a process of its own, so
/// that its memory and time are its own, and so that anyone can run the same by hand. Its results are a folder that
/// appears when both are done.
class ExperimentCell {
 public:
  ExperimentCell(const ExperimentPlan& plan, const ExperimentMethod& method, std::int64_t seed);

  const ExperimentMethod& method() const { return *method_; }
  std::int64_t seed() const { return seed_; }
  const std::filesystem::path& folder() const { return folder_; }

  /// Whether all results are there already. Throws ConfigError if they were made by other commands than these.
  bool is_done() const;

  /// Runs both commands; in place of results that are not whole, if there are some. To be called under a lock of the
  /// experiment's output. False if a signal stopped it. Throws Error with the last line of a command that failed.
  bool run() const;

  /// {"method", "seed", "commands", "finetune": its report, "evaluate": its report, "steps": [{"step", "loss", ...}]}
  /// from the folder. Throws LoadError.
  OrderedJson read() const;

 private:
  OrderedJson commands() const;
  bool run_command(const std::vector<std::string>& arguments, const std::filesystem::path& out) const;

  const ExperimentMethod* method_;
  std::int64_t seed_;
  bool keep_model_;
  std::filesystem::path folder_, temporary_;
  std::vector<std::string> finetune_, evaluate_;  ///< finetune_ is empty where the model is evaluated as it is
};

/// All runs of a plan: every method that trains with every seed, and each that does not once.
std::vector<ExperimentCell> experiment_cells(const ExperimentPlan& plan);

}  // namespace greentrainer::program
