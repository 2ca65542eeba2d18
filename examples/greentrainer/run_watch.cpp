#include "run_watch.hpp"

#include <algorithm>

#include "console.hpp"
#include "finetune_report.hpp"
#include "machine.hpp"

namespace greentrainer::program {

namespace {

/// What was chosen, and what follows from it.
void say_selection(const SelectionRecord& record, std::size_t parameters, bool cached_on_disk) {
  std::string line = text("step ", record.step, ": training ", record.names.size(), " of ", parameters, " tensors");
  if (record.budget > 0) {
    line += ", backward " + cost_text(record.cost, record.unit) + " of at most " +
            cost_text(record.budget, record.unit) + " until the next selection";
  }
  if (record.recomputed > 0) {
    line += "; " + cost_text(record.recomputed, record.unit) + " are computed again in " +
            text(record.recomputed_from.size()) + " segments to keep the memory limit" +
            (record.recomputation_optimal ? "" : ", which is not proved to be the least");
  }
  if (!record.cached_below.empty()) {
    line += "; values below " + record.cached_below + " are cached, in " + bytes_text(record.cached_bytes) +
            (cached_on_disk ? " on disk" : " beside the memory of training");
  }
  say(line);
  if (!record.not_cached.empty()) say("note: nothing is cached until the next selection: " + record.not_cached);
  const auto negative =
      std::count_if(record.importance.begin(), record.importance.end(), [](const auto& one) { return one.second < 0; });
  const std::string advice = overshoot_advice(static_cast<double>(negative) /
                                              static_cast<double>(std::max<std::size_t>(1, record.importance.size())));
  if (!advice.empty()) say("note: " + advice);
  if (record.names.empty())
    say("note: no tensor that fits has a positive importance: nothing is trained until the next selection");
  if (record.importance_memory.total() > 0)
    say("memory while importances were evaluated: " + memory_line(record.importance_memory));
  say("memory of training: " + memory_line(record.memory));
}

}  // namespace

void RunWatch::follow(FitOptions& fit, std::size_t tensors) {
  fit.energy = energy.reading();
  fit.on_evaluation_pass = [this](const EvaluationProgress& now) {
    energy.joules();  // its counters begin again from zero every few minutes to hours
    progress.evaluation(now.done, now.of,
                        now.after       ? "after training"
                        : now.step == 0 ? "before training"
                                        : text("after step ", now.step));
  };
  fit.on_evaluation = [this](const EvaluationRecord& record) {
    say_evaluation(record);
    give_back_memory();  // of passes of other shapes: the heap would grow with each of them
    tell(record.step, {{"evaluation/loss", record.loss}});
    if (record.metric) tell(record.step, {{"evaluation/" + keep_best_, *record.metric}});
  };
  fit.on_step = [this](const StepRecord& record) {
    progress.step(record);
    spent_ += record.flops + record.recomputed_flops;
    tell(record.step,
         {{"training/loss", record.loss},
          {"training/learning_rate", record.learning_rate},
          {"training/tokens_per_second", record.seconds > 0 ? static_cast<double>(record.tokens) / record.seconds : 0},
          {"training/flops_spent", static_cast<double>(spent_)}});
    if (!record.skipped) return;
    progress.clear();
    say(text("warning: step ", record.step, " is skipped: its loss or a gradient is not finite"));
  };
  fit.on_selection = [this, tensors](const SelectionRecord& record) {
    tell(record.step, {{"selection/tensors", static_cast<double>(record.names.size())}});
    progress.clear();
    say_selection(record, tensors, cached_on_disk_);
    give_back_memory();
  };
  fit.on_warning = [this](const std::string& warning) {
    progress.clear();
    say("warning: " + warning);
  };
  fit.should_stop = interrupted;
}

void RunWatch::go_on_from(const TrainingReport& report) {
  spent_ = report.flops.train + report.flops.recomputed;
  progress.go_on_from(report);
}

void RunWatch::tell(Extent step, std::initializer_list<EventFile::Scalar> scalars) {
  if (!events_) return;
  try {
    events_->write(step, scalars);
  } catch (const SaveError& error) {
    progress.clear();
    say(text("warning: no more numbers are written for TensorBoard: ", error.what()));
    events_.reset();
  }
}

void RunWatch::say_evaluation(const EvaluationRecord& record) {
  if (!evaluates_on_the_way_) return;
  progress.clear();
  std::string line = text("after step ", record.step, ": loss ", fixed(record.loss, 4));
  if (record.metric) line += ", " + keep_best_ + " " + fixed(*record.metric, 4);
  if (record.best) line += ", the best so far";
  say(line);
}

}  // namespace greentrainer::program
