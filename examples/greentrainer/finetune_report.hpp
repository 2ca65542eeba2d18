#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/data/ignored_keys.hpp"
#include "greentrainer/io/atomic_file.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "greentrainer/parallel/ranks.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer::program {

/// What is reported beside the training report.
struct Surroundings {
  std::string method;                 ///< that was used
  std::string context_gradients;      ///< exact, keys or none
  std::string passing;                ///< exact or rotating
  std::string gradient_sums;          ///< fast or exact
  std::string backend;                ///< what computed
  std::string frozen_format;          ///< that weights are stored in until they are trained, or none
  std::string keep_best;              ///< what states were compared by; empty: the last was kept
  bool evaluates_on_the_way = false;  ///< besides before and after training
  bool is_auto = false;               ///< and that the program chose
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

/// Hands metrics.jsonl to `sink`: what happened in a run, one JSON object a line. Written at the end, so that a run
/// that is killed leaves nothing behind, and from the report, so that it takes no memory before.
void write_metrics(const TrainingReport& report, const Surroundings& around, const TextSink& sink);

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
