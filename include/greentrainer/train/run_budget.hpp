#pragma once

#include <cmath>
#include <memory>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/cost/operator_times.hpp"

namespace greentrainer {

/// What is reduced when a run does not fit into its budget.
enum class BudgetCuts {
  batch,  ///< examples in a batch; the number of steps stays as near to that asked for as whole batch sizes allow
  steps   ///< steps; the batch size stays
};

/// The limit of what a run spends on forward and backward passes, importances and updates; evaluation is not counted.
/// At most one of the four limits may be set.
struct RunBudget {
  Flops flops = 0;           ///< 0: any number
  double share_of_full = 0;  ///< of full fine-tuning of the run as it is asked for, with its updates; 0: any
  double seconds = 0;        ///< planned by `times`, which are then required; 0: any
  double joules = 0;         ///< planned by `times` and their watts; beside FitOptions::energy; 0: any
  BudgetCuts cuts = BudgetCuts::batch;
  std::shared_ptr<const OperatorTimes> times = {};  ///< of the model as it is trained, see calibrate

  bool is_set() const { return flops != 0 || share_of_full != 0 || is_timed(); }
  /// Whether it is planned by measured times.
  bool is_timed() const { return seconds != 0 || joules != 0; }
};

/// The longest budget; twice as many picoseconds still fit into 63 bits.
inline constexpr double most_budget_seconds = 4e6;

/// Throws ConfigError for a budget that is out of range, and for two at once.
inline void check_options(const RunBudget& o) {
  expect_option(o.flops >= 0, "fit", "budget", "a positive number of FLOPs, or 0 for any number", o.flops);
  expect_option(std::isfinite(o.share_of_full) && o.share_of_full >= 0, "fit", "budget",
                "a positive share of full fine-tuning, or 0 for any", o.share_of_full);
  expect_option(o.seconds >= 0 && o.seconds <= most_budget_seconds, "fit", "budget",
                text("0 to ", most_budget_seconds, " seconds, where 0 is any number"), o.seconds);
  expect_option((o.flops != 0) + (o.share_of_full != 0) + (o.seconds != 0) + (o.joules != 0) <= 1, "fit", "budget",
                "FLOPs, a share of full fine-tuning, seconds, or joules", "more than one of them");
  expect_option(!o.is_timed() || o.times != nullptr, "fit", "budget",
                "times of the model's operators beside seconds or joules", "none; calibrate");
  expect_option(std::isfinite(o.joules) && o.joules >= 0, "fit", "budget", "at least 0 joules, where 0 is any number",
                o.joules);
  if (o.joules == 0) return;
  expect_option(o.times->watts > 0, "fit", "budget", "watts that were measured beside joules",
                "none; the passes of a calibration may be too short for its counters");
  expect_option(o.joules <= most_budget_seconds * o.times->watts, "fit", "budget",
                text("joules that last for at most ", most_budget_seconds, " seconds"), o.joules);
}

/// The plan of a run, decided before it starts.
struct RunPlan {
  Extent steps = 0;            ///< the schedule of the learning rate ends with the last of them
  Extent batch_size = 0;       ///< examples in a pass
  Extent ending_steps = 0;     ///< the last of these steps, with the gradients of Trainer::use_ending
  Flops planned = 0;           ///< that these steps take, evaluation apart
  bool exact = true;           ///< whether they take exactly so many, since what they train is known; else at most
  bool average = false;        ///< the model has experts: so many on average, and what routing adds is beyond a budget
  Flops budget = 0;            ///< in FLOPs; 0: none
  Flops full = 0;              ///< of full fine-tuning of the run as it was asked for, with its updates
  double seconds = 0;          ///< the budget in seconds; 0: none
  double joules = 0;           ///< the budget in joules; 0: none
  double planned_seconds = 0;  ///< that these steps are expected to take, where the budget is in seconds or joules
  double planned_joules = 0;   ///< the same, where it is in joules

  /// Whether measured times have made it.
  bool is_timed() const { return seconds > 0 || joules > 0; }

  /// The words before `planned` in a sentence, if any.
  const char* promise() const { return average ? "on average " : exact ? "" : "at most "; }
};

/// A budget that is too small for a single step.
class InfeasibleBudget : public ConfigError {
 public:
  InfeasibleBudget(Flops budget, Flops smallest, Extent batch_size, Flops full)
      : ConfigError(
            "fit", "budget",
            text("expected at least ", smallest, " FLOPs, ",
                 std::ceil(1e6 * static_cast<double>(smallest) / static_cast<double>(full)) / 1e6,
                 " of full fine-tuning, which the first step on a batch of ", batch_size, " takes, got ", budget)),
        smallest_(smallest) {}
  /// In seconds, or joules.
  InfeasibleBudget(double budget, double smallest, Extent batch_size, const char* unit)
      : ConfigError("fit", "budget",
                    text("expected at least ", smallest, ' ', unit, ", which the first step on a batch of ", batch_size,
                         " is expected to take, got ", budget)) {}

  /// The smallest budget that is feasible, in FLOPs; 0 where the budget is in seconds or joules.
  Flops smallest() const { return smallest_; }

 private:
  Flops smallest_ = 0;
};

}  // namespace greentrainer
