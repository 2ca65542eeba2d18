#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/data/ignored_keys.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "greentrainer/parallel/ranks.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer::program {

/// metrics.jsonl: what happened, one JSON object a line. Kept until the end, so that a run that is killed leaves
/// nothing behind.
class Metrics {
 public:
  /// `metric`: what --keep-best compares by, or empty. `on_the_way`: whether there are evaluations besides those before
  /// and after training.
  Metrics(std::string metric, bool on_the_way) : metric_(std::move(metric)), on_the_way_(on_the_way) {}

  void selection(const SelectionRecord& record);
  void step(const StepRecord& record);
  /// One before training or on the way, the last of these after the last step.
  void evaluation(const EvaluationRecord& record);
  /// Of the weights as they are saved; `unrounded`: in memory, where saving changes them.
  void loss_after(const TrainingReport& report, std::optional<double> unrounded);
  /// What happened in a run so far, as if it had just happened.
  void replay(const TrainingReport& report);
  const std::string& lines() const { return lines_; }
  bool evaluates_on_the_way() const { return on_the_way_; }

 private:
  void add(const OrderedJson& json) { lines_ += json.dump() + '\n'; }

  std::string metric_;
  bool on_the_way_;
  std::string lines_;
  Flops flops_ = 0;
};

/// What is reported beside the training report.
struct Surroundings {
  std::string method;             ///< that was used
  std::string context_gradients;  ///< exact, keys or none
  std::string passing;            ///< exact or rotating
  std::string gradient_sums;      ///< fast or exact
  std::string backend;            ///< what computed
  std::string frozen_format;      ///< that weights are stored in until they are trained, or none
  std::string keep_best;          ///< what states were compared by; empty: the last was kept
  bool is_auto = false;           ///< and that the program chose
  std::size_t rows_dropped = 0, rows_truncated = 0, turns_dropped = 0;
  IgnoredKeys ignored_keys;
  double load_seconds = 0, save_seconds = 0, total_seconds = 0;
  std::optional<double> loss_after_unrounded;  ///< of the weights in memory, where saving changes them
  std::string saved_dtype;                     ///< element type of the output, or that there are several
  Bytes memory_at_start = 0;                   ///< that the process had before the model was loaded
  std::vector<EnergyPart> energy;              ///< of what computes, all of the time
  double carbon_intensity = 0;                 ///< grams for a kilowatt-hour; 0: not told
  std::optional<Bytes> device_peak;            ///< of a backend with memory of its own
  Ranks ranks;                                 ///< that trained together, with what the first has sent
};

/// What a run with a budget will be, before it starts: for people, and as an object.
std::string plan_line(const RunPlan& plan);
OrderedJson json_of(const RunPlan& plan);

/// What to say where this share of the tensors has a negative importance; empty where it is usual.
std::string overshoot_advice(double negative);

/// The object that --json prints.
OrderedJson json_of(const TrainingReport& report, const Surroundings& around);

/// The same for people, on stdout.
void print_report(const TrainingReport& report, const Surroundings& around, const std::string& output);

}  // namespace greentrainer::program
