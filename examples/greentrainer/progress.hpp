#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "greentrainer/train/training_report.hpp"

namespace greentrainer::program {

/// Says on stderr how training goes: a bar that redraws itself on a terminal, now and then a line elsewhere.
class Progress {
 public:
  /// `peak`: FLOPs a second that the machine can do, 0 if not known.
  explicit Progress(double peak) : peak_(peak) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const StepRecord& record);
  /// The steps of a run that were made before it was saved.
  void go_on_from(const TrainingReport& report);
  /// To be called after each pass of an evaluation; `when`: "before training", or empty.
  void evaluation(std::size_t done, std::size_t of, const std::string& when);
  /// Removes the bar, so that other lines can follow.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string status(const StepRecord& record, int columns) const;
  void show(const std::string& line, int columns);

  double peak_;
  Flops spent_ = 0, full_ = 0;
  double seconds_ = 0;
  // Since the last line, for speeds that follow what happens.
  double recent_seconds_ = 0, recent_flops_ = 0, recent_tokens_ = 0;
  double tokens_per_second_ = 0, share_of_peak_ = 0;
  Clock::time_point last_shown_ = Clock::now();
  Extent last_shown_step_ = 0;
  Clock::time_point evaluation_started_ = Clock::now();
  std::size_t first_done_ = 0;
  bool evaluating_ = false;
  bool bar_drawn_ = false;
};

}  // namespace greentrainer::program
