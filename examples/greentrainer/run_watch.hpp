#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>

#include "finetune_options.hpp"
#include "greentrainer/io/event_file.hpp"
#include "greentrainer/io/machine_energy.hpp"
#include "progress.hpp"

namespace greentrainer::program {

/// What is said, measured and written down while a run goes on.
class RunWatch {
 public:
  /// `gpu`: as MachineEnergy takes it. `peak`: FLOPs a second that the machine can do, 0 if not known.
  RunWatch(const std::string& gpu, double peak, const FinetuneOptions& options)
      : progress(peak),
        energy(gpu),
        keep_best_(options.keep_best),
        evaluates_on_the_way_(!options.evaluate_every.empty()),
        cached_on_disk_(options.prefix_cache.mode == "disk") {}

  /// Has a run, of a model of so many tensors, tell what happens in it. Must outlive the run.
  void follow(FitOptions& fit, std::size_t tensors);
  /// What happened in a run before it was saved.
  void go_on_from(const TrainingReport& report);

  /// Writes numbers of what happens from now on, after so many steps, for TensorBoard too. Throws SaveError.
  void write_events(const std::string& folder, Extent step) { events_.emplace(folder, step); }
  /// Since the watch was made.
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  Progress progress;
  MachineEnergy energy;

 private:
  void say_evaluation(const EvaluationRecord& record);
  /// Without a file nothing. Where it cannot be written on, that is said once, and the run goes on.
  void tell(Extent step, std::initializer_list<EventFile::Scalar> scalars);

  std::string keep_best_;
  bool evaluates_on_the_way_;
  std::optional<EventFile> events_;
  Flops spent_ = 0;
  bool cached_on_disk_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace greentrainer::program
