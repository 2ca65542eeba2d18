#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "command.hpp"
#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/parallel/exact_sum.hpp"
#include "greentrainer/train/run_budget.hpp"
#include "greentrainer/train/run_forecast.hpp"
#include "plan_over_time.hpp"
#include "prefix_cache_choice.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

struct PlanOptions {
  std::string model, config, cost_model = "exact", importance, selector, backend = "eigen", memory_limit;
  std::string optimizer = "adamw";
  std::string worth = "additive";
  std::vector<std::string> tensors, freeze;
  Extent batch_size = 4, tokens = 512, labelled_tokens = 0, target_tokens = 64;
  double rho = 0;
  Extent epochs = 0, examples = 0;  ///< of a run; 0: a batch is planned
  std::string train;                ///< data whose lengths are taken, instead of `examples` of `tokens`
  DataChoice data;
  PrefixCacheChoice cache;
  Extent ranks = 1;  ///< that train together
  std::string gradient_sums = "fast";
  Extent steps = 0;  ///< of a run with a budget
  std::string budget, budget_cuts = "batch";
  std::string context_gradients = "exact", exact_ending = "none", frozen_format = "none";
  std::vector<std::string> phases;
  std::string sampling = "off", passing = "exact";
  double passing_share = 0.25;
  std::string importance_metric;  ///< whose memory is planned
  bool json = false;

  /// Examples of a training pass: exact sums take them one by one.
  Extent pass_size() const { return gradient_sums == "exact" ? 1 : batch_size; }

  /// Labelled tokens of a sequence of so many; throws UsageError if they are fewer than asked for.
  Extent labelled_of(Extent sequence, const char* option) const {
    if (labelled_tokens > sequence)
      bad_usage("plan",
                text("--labelled-tokens: expected at most ", option, ", ", sequence, ", got ", labelled_tokens));
    return labelled_tokens > 0 ? labelled_tokens : sequence;
  }
};

/// What a tensor adds to the backward pass.
struct TensorCost {
  std::string name;
  ParameterShape shape;
  std::int64_t grad_input = 0;
  std::int64_t grad_weight = 0;
};
/// An operator without parameters.
struct OperatorCost {
  std::string name;
  std::int64_t forward = 0;
  std::int64_t grad_input = 0;
};

/// What the epochs come to, with one selection for all of them.
struct PlannedRun {
  Extent examples = 0, steps = 0;
  RunForecast forecast;
  std::string cached_below;  ///< the first operator above the cut; empty without one
  std::string not_cached;    ///< why there is none, where it was asked for
};

/// All that is printed. Tensors and operators add up to `backward`.
struct PlanReport {
  std::string unit;
  std::string batch;               ///< for people
  std::vector<std::string> notes;  ///< for people, beside the result
  std::int64_t forward = 0, backward = 0;
  std::vector<TensorCost> tensors;
  std::vector<OperatorCost> operators;
  std::int64_t cheapest = 0;  ///< backward pass of the cheapest tensor
  std::optional<Selection> selection;
  std::int64_t selection_cost = 0;
  std::int64_t recomputed = 0;               ///< to keep the memory limit
  std::vector<std::string> recomputed_from;  ///< the first operators of the segments that are computed again
  bool recomputation_optimal = true;         ///< nothing else between the same cuts fits and costs less
  std::optional<PlannedRun> run;
  MemoryEstimate memory;
  Bytes exact_sums = 0;  ///< beside `memory`, in the host's memory
  Bytes memory_importance = 0;
  std::optional<RunPlan> within_budget;  ///< of `steps` steps
  std::vector<PlannedPhase> phases;      ///< of a run of `steps` steps, or as many as the budget pays for
  Flops full_of_phases = 0;              ///< full fine-tuning of as many steps, with its updates
  std::optional<PlannedPassing> passing;

  std::int64_t full = 0;  ///< of the model's exact full fine-tuning

  /// Of the copy by which a run is saved while it goes on: weights, which are as large as their gradients, and
  /// optimizer state of what is trained. More once other tensors were trained before.
  Bytes save_copy() const { return memory.gradients + memory.optimizer; }

  /// By each of so many ranks in a step: the gradients of what is trained, once each, or what exact sums have of each.
  Bytes sent_gradient_bytes(const PlanOptions& options) const {
    if (options.ranks == 1) return 0;
    constexpr auto exact = static_cast<Bytes>(ExactSum<float>::words * sizeof(std::int64_t) / sizeof(float));
    return options.gradient_sums == "exact" ? exact * memory.gradients : memory.gradients;
  }
  std::int64_t total() const { return (CheckedInteger(forward) + backward).value(); }
  double ratio(std::int64_t cost) const { return static_cast<double>(forward + cost) / static_cast<double>(full); }
};

/// Prices the model that `config` describes. Throws ConfigError for what cannot be planned, UsageError for options that
/// contradict each other.
PlanReport make_plan_report(const ConfigReader& config, const Command& command, const PlanOptions& options);

}  // namespace greentrainer::program
