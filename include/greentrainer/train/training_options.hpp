#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/core/dtype.hpp"
#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/io/energy_meter.hpp"
#include "greentrainer/optim/learning_rate_schedule.hpp"
#include "greentrainer/select/worth.hpp"
#include "greentrainer/train/phases.hpp"
#include "greentrainer/train/run_budget.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer {

/// The most steps, or passes over the data, that options may ask for. The product of two such numbers does not
/// overflow.
inline constexpr Extent most_steps = 1'000'000'000;

/// How many training examples are evaluated where there are no others.
inline constexpr Extent usual_evaluation_examples = 100;

/// A distance between two selections, or two evaluations.
struct Interval {
  enum class Unit { epochs, steps };

  Extent every = 2;
  Unit unit = Unit::epochs;

  Extent steps(Extent steps_per_epoch) const { return unit == Unit::epochs ? every * steps_per_epoch : every; }
};

inline std::string text_of(const Interval& i) {
  return text(i.every, i.unit == Interval::Unit::epochs ? " epochs" : " steps");
}

/// Whether a distance is valid.
inline bool is_in_range(const Interval& i) { return i.every >= 1 && i.every <= most_steps; }

/// What importances are to a selection: what its sum is to be the greatest of, or what tensors are drawn in proportion
/// to (drawn_importance), anew for each selection, from FitOptions::seed and the step. The budget is kept by either.
enum class Sampling { off, importance };

/// GreenTrainer: which tensors are trained is chosen under a FLOPs budget, and chosen again as training goes on.
struct GreenOptions {
  double flops_ratio =
      0.5;  ///< the paper's rho: (forward + backward) / full fine-tuning's, over the steps until the next selection
  /// In place of flops_ratio: ratios that change with time, each for a share of the steps that the run takes, a
  /// budget's included. Every phase begins with a selection. None: flops_ratio throughout.
  std::vector<Phase> phases = {};
  std::string importance = "paper";  ///< see make_importance
  Extent importance_batches = 1;     ///< evaluated on the first ones of the coming steps
  /// first-order alone: the step at which tensors are chosen trains everything, and its gradients are what importance
  /// is taken from; priced inside flops_ratio, so that the steps until the next selection get the rest.
  bool importance_step = false;
  /// Of a transformer block, by the sum of the importances that are chosen of it: additive, square-root or saturating;
  /// see Worth.
  std::string worth = "additive";
  Sampling sampling = Sampling::off;
  Interval reselect_every = {};
  std::vector<std::string> freeze = {};  ///< names or globs of tensors that are never chosen
};

/// Throws ConfigError for an option that is out of range, UsageError for a worth that parse_worth does not know.
inline void check_options(const GreenOptions& o) {
  expect_option(o.flops_ratio > 0 && o.flops_ratio <= 1, "GreenOptions", "flops_ratio", "more than 0 and at most 1",
                o.flops_ratio);
  check_phases(o.phases);
  expect_option(o.phases.empty() || !o.importance_step, "GreenOptions", "phases",
                "none beside importance_step, whose step trains everything", text_of(o.phases));
  expect_option(o.importance_batches >= 1, "GreenOptions", "importance_batches", "at least 1", o.importance_batches);
  expect_option(!o.importance_step || o.importance == "first-order", "GreenOptions", "importance_step",
                "importance first-order, which alone a training step's own gradients give", o.importance);
  expect_option(!o.importance_step || o.importance_batches == 1, "GreenOptions", "importance_batches",
                "1 beside importance_step, whose batches are those of the step", o.importance_batches);
  expect_option(!o.importance_step || o.freeze.empty(), "GreenOptions", "freeze",
                "none beside importance_step, whose step trains everything", o.freeze.empty() ? "" : o.freeze.front());
  parse_worth(o.worth);
  expect_option(is_in_range(o.reselect_every), "GreenOptions", "reselect_every", text("1 to ", most_steps),
                o.reselect_every.every);
}

/// When a fit evaluates the loss: before training, after it, both or never.
enum class Evaluations { none, before, after, both };

/// How far an evaluation is.
struct EvaluationProgress {
  std::size_t done = 0;  ///< examples
  std::size_t of = 0;
  Extent step = 0;     ///< steps done before it
  bool after = false;  ///< training, rather than before it or on the way
};

/// The value of the caller's own metric for the present weights, and the FLOPs that it took.
struct MetricValue {
  double value = 0;
  Flops flops = 0;
};

/// The metric by which FitOptions::keep_best compares evaluations.
struct RunMetric {
  std::string name = "loss";
  bool larger_is_better = false;
  /// Computes it; returns nothing if that was stopped. Empty: the loss that the run evaluates anyway.
  std::function<std::optional<MetricValue>()> take = {};

  bool is_better(double one, double than) const { return larger_is_better ? one > than : one < than; }
};

/// Where values at the upper end of the frozen part of the model are kept while their examples are seen again, instead
/// of running that part anew: in the host's memory, or in a file without a name in a folder.
enum class PrefixCacheMode { off, memory, disk };

/// What happens where a step's loss, or a gradient, is infinite or no number. Weights, and the optimizer's state, are
/// never touched by it.
enum class OnNonFinite {
  stop,  ///< NumericalError
  skip   ///< the step changes nothing, and is counted
};

/// How the gradients of a step's examples are added up.
enum class GradientSums {
  fast,  ///< as passes add them: the same bits for the same batches on the same number of ranks
  /// One example in a pass, and their gradients in whatever order: the same bits for any number of ranks, and for any
  /// batch_size and gradient_accumulation of the same product where tensors are not chosen. Costs memory and time:
  /// docs/decisions/0035-exact-sums-and-exchange-on-the-way.md
  exact
};

/// How long and on what.
struct FitOptions {
  Extent epochs = 1;
  Extent steps = 0;                  ///< if positive, instead of epochs
  Extent batch_size = 4;             ///< examples in one pass
  Extent gradient_accumulation = 1;  ///< passes in one step
  RunBudget budget = {};             ///< may make batches smaller, or steps fewer
  /// Energy of whatever computes, such as EnergyMeter's; read around every step. Empty: TrainingReport::joules is none.
  EnergyReading energy = {};
  GradientSums gradient_sums = GradientSums::fast;
  /// Numbers that ranks exchange at once; results do not depend on it.
  Extent exchange_bucket = Extent{1} << 20;
  LearningRateSchedule schedule = {};
  OnNonFinite on_nan = OnNonFinite::stop;
  Extent most_skipped = 10;  ///< steps; the next one is an error all the same
  double clip_norm = 0;      ///< 0: off; as torch.nn.utils.clip_grad_norm_ over the selected parameters
  PrefixCacheMode prefix_cache = PrefixCacheMode::off;
  Bytes prefix_cache_limit = Bytes{4} << 30;       ///< examples that do not fit are computed each time
  std::optional<DType> prefix_cache_type = {};     ///< float32 or bfloat16; empty: as the backend computes
  std::filesystem::path prefix_cache_folder = {};  ///< on disk: must be there, and nothing is left in it
  /// Of all that a fit takes in the backend's memory at once, weights and cached values included; 0: none. Activations
  /// are then computed again where they do not fit, and fewer tensors are chosen where their gradients and optimizer
  /// state do not.
  Bytes memory_limit = 0;
  bool shuffle = true;
  std::uint64_t seed = 0;
  std::span<const Example> validation = {};  ///< for the losses; empty: the training examples
  Evaluations evaluate = Evaluations::both;
  Extent evaluation_examples = 0;  ///< at most so many, see EvaluationSample; 0: all of `validation`, or
                                   ///< usual_evaluation_examples of the training examples
  /// Evaluations on the way, after every so many steps; empty: none. No budget pays for them.
  std::optional<Interval> evaluate_every = {};
  /// The run ends with the weights of its best evaluation, and the last weights are evaluated for that, too. A copy of
  /// what is trained is kept in the host's memory. Empty: the run ends with the last weights.
  std::optional<RunMetric> keep_best = {};
  /// Evaluations in a row without a better one, after which the run ends; 0: any number.
  Extent patience = 0;

  /// Inputs of the run that the library cannot see, such as a selector of your own, as a text: a saved run is only
  /// continued with the same text.
  std::map<std::string, std::string> also_depends_on = {};

  // What these do with the model is in none of the report's numbers but seconds.callbacks.
  std::function<void(const StepRecord&)> on_step = {};
  std::function<void(const SelectionRecord&)> on_selection = {};
  std::function<void(const EvaluationRecord&)> on_evaluation = {};         ///< before, on the way and after
  std::function<void(const EvaluationProgress&)> on_evaluation_pass = {};  ///< after each of an evaluation's passes
  std::function<void(const std::filesystem::path&)> on_save = {};          ///< Trainer::save has written this folder
  /// What a run goes on without, such as a cache that the disk has no room for; it is in the report, too.
  std::function<void(const std::string&)> on_warning = {};
  std::function<bool()> should_stop = {};  ///< asked before every step and every pass of an evaluation
};

/// Whether a fit takes losses while it holds gradients and optimizer state.
inline bool evaluates_trained(const FitOptions& o) {
  return o.evaluate == Evaluations::after || o.evaluate == Evaluations::both || o.evaluate_every;
}

/// Throws ConfigError for evaluations on the way that are out of range or serve nothing.
inline void check_evaluations(const FitOptions& o) {
  expect_option(!o.evaluate_every || is_in_range(*o.evaluate_every), "fit", "evaluate_every", text("1 to ", most_steps),
                o.evaluate_every.value_or(Interval{}).every);
  expect_option(!o.keep_best || o.evaluate_every, "fit", "keep_best", "evaluate_every beside it", "none");
  expect_option(!o.keep_best || o.memory_limit == 0, "fit", "keep_best",
                "none beside memory_limit, which has no room for a copy of what is trained",
                o.keep_best.value_or(RunMetric{}).name);
  expect_option(o.patience >= 0 && o.patience <= most_steps, "fit", "patience", text("0 to ", most_steps), o.patience);
  expect_option(o.patience == 0 || o.keep_best, "fit", "patience", "0 without keep_best, which says what is better",
                o.patience);
}

/// Throws ConfigError for an option that is out of range, among them a run of more steps than can be counted.
inline void check_options(const FitOptions& o) {
  const auto within = [](const char* field, Extent value, Extent least) {
    expect_option(value >= least && value <= most_steps, "fit", field, text(least, " to ", most_steps), value);
  };
  within("steps", o.steps, 0);
  if (o.steps == 0) within("epochs", o.epochs, 1);
  within("batch_size", o.batch_size, 1);
  within("gradient_accumulation", o.gradient_accumulation, 1);
  within("schedule.warmup_steps", o.schedule.warmup_steps, 0);
  within("evaluation_examples", o.evaluation_examples, 0);
  expect_option(!o.schedule.of_step || o.schedule.warmup_steps == 0, "fit", "schedule.warmup_steps",
                "0 beside schedule.of_step, which is all of the schedule", o.schedule.warmup_steps);
  within("most_skipped", o.most_skipped, 0);
  check_evaluations(o);
  check_options(o.budget);
  expect_option(o.budget.joules == 0 || o.energy, "fit", "budget", "energy beside joules, which tells what was spent",
                "none");
  within("exchange_bucket", o.exchange_bucket, 1);
  if (o.gradient_sums == GradientSums::exact) {
    expect_option(o.memory_limit == 0, "fit", "memory_limit", "0 beside exact gradient_sums, which it does not count",
                  o.memory_limit);
    expect_option(!o.budget.is_timed(), "fit", "budget",
                  "none in seconds or joules beside exact gradient_sums, whose time is not planned",
                  o.budget.seconds + o.budget.joules);
  }
  expect_option(o.prefix_cache_limit >= 0, "fit", "prefix_cache_limit", "at least 0 bytes", o.prefix_cache_limit);
  expect_option(o.memory_limit >= 0, "fit", "memory_limit", "at least 0 bytes, where 0 is no limit", o.memory_limit);
  expect_option(!o.prefix_cache_type || o.prefix_cache_type == DType::float32 || o.prefix_cache_type == DType::bfloat16,
                "fit", "prefix_cache_type", "float32, bfloat16 or nothing",
                name_of(o.prefix_cache_type.value_or(DType::float32)));
  expect_option(o.prefix_cache != PrefixCacheMode::disk || !o.prefix_cache_folder.empty(), "fit", "prefix_cache_folder",
                "a folder beside a cache on disk", "none");
  expect_option(o.clip_norm >= 0, "fit", "clip_norm", "at least 0, which is off", o.clip_norm);
}

}  // namespace greentrainer
