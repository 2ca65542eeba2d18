#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/trainer_parts.hpp"

namespace greentrainer {

/// Takes the losses of a run, before it, on the way and after it, and keeps the best of its weights. An evaluation does
/// not change what later steps compute.
template <Backend B>
class RunEvaluation {
 public:
  RunEvaluation(TrainerParts<B>& parts, TrainingRun& run) : parts_(&parts), run_(&run) {}

  /// Makes the evaluation that is due before the next step. Returns false if it was stopped; it is then still due.
  bool make_due() {
    const FitOptions& options = run_->options;
    const Extent step = run_->next_step;
    if (is_taken()) return true;
    if (step == 0) return !run_->evaluates(Evaluations::before) || take(false);
    if (!options.evaluate_every) return true;
    return step % options.evaluate_every->steps(run_->batches.steps_per_epoch()) != 0 || take(false);
  }

  /// Makes what the end of a run still needs, and ends with the best weights if that is asked for. False where an
  /// evaluation was stopped: nothing is put back then, and the run can go on.
  bool finish() {
    const FitOptions& options = run_->options;
    TrainingReport& report = parts_->report;
    const bool after = run_->evaluates(Evaluations::after);
    const bool compares = options.keep_best && run_->next_step > 0;
    if ((after || compares) && !is_taken() && !take(true)) return false;
    const EvaluationRecord* const best = compares ? report.best() : nullptr;
    if (best != nullptr && best->step != run_->next_step) parts_->best->put_back(parts_->model.parameters());
    if (after) report.loss_after = (best != nullptr ? *best : report.evaluations.back()).loss;
    return true;
  }

  /// Whether FitOptions::patience is used up: so many evaluations in a row were not better than the best.
  bool patience_is_over() const {
    const Extent patience = run_->options.patience;
    return patience > 0 && parts_->report.since_best() >= patience;
  }

 private:
  /// Whether the weights as they are were evaluated.
  bool is_taken() const {
    const auto& all = parts_->report.evaluations;
    return !all.empty() && all.back().step == run_->next_step;
  }

  /// Evaluates the weights as they are. False where that was stopped: it is then in no count.
  bool take(bool after) {
    TrainingReport& report = parts_->report;
    const auto start = TrainingClock::now();
    const double callbacks_before = report.seconds.callbacks;
    parts_->trained().executor().release_memory();
    EvaluationRecord record{.step = run_->next_step};
    Flops flops = 0;
    const bool taken = take_loss(after, record, flops) && take_metric(record, flops);
    parts_->trained().executor().release_memory();
    report.seconds.evaluation += seconds_since(start) - (report.seconds.callbacks - callbacks_before);
    report.stopped = report.stopped || !taken;
    if (!taken) return false;
    report.flops.evaluation += flops;
    if (!after && record.step == 0) report.loss_before = record.loss;
    keep_if_best(record);
    report.evaluations.push_back(record);
    const auto& told = run_->options.on_evaluation;
    if (told) parts_->call_back([&] { told(report.evaluations.back()); });
    return true;
  }

  bool take_loss(bool after, EvaluationRecord& record, Flops& flops) {
    const FitOptions& options = run_->options;
    const std::span<const Example> examples = run_->sample.examples();
    EvaluateOptions how{.should_stop = options.should_stop, .ranks = parts_->ranks};
    const std::optional<Cut> cut = parts_->cached_cut();
    const Selection held = parts_->held();
    how.batch_size = parts_->memory->evaluation_batch(held, cut);
    Bytes& planned = parts_->report.memory.evaluation;
    const Bytes coming = parts_->memory->evaluation(how.batch_size, held, cut).total();
    planned = std::max(planned, coming);
    parts_->make_room(coming);
    if (options.on_evaluation_pass) {
      how.on_pass = [&](std::size_t done) {
        const EvaluationProgress now{.done = done, .of = examples.size(), .step = record.step, .after = after};
        parts_->call_back([&] { options.on_evaluation_pass(now); });
      };
    }
    const Evaluation evaluation = evaluate(parts_->trained(), examples, how);
    record.loss = evaluation.loss;
    flops += evaluation.flops;
    return !parts_->report.stopped && evaluation.examples.size() == examples.size();
  }

  bool take_metric(EvaluationRecord& record, Flops& flops) {
    const auto& metric = run_->options.keep_best;
    if (!metric || !metric->take) return true;
    const std::optional<MetricValue> taken = metric->take();
    if (!taken) return false;
    if (!std::isfinite(taken->value)) {
      throw NumericalError("fit", metric->name,
                           text("expected a finite number after step ", record.step, ", got ", taken->value));
    }
    record.metric = taken->value;
    flops += taken->flops;
    return true;
  }

  void keep_if_best(EvaluationRecord& record) {
    const auto& metric = run_->options.keep_best;
    if (!metric || record.step == 0) return;
    const EvaluationRecord* const best = parts_->report.best();
    record.best = best == nullptr || metric->is_better(record.value(), best->value());
    if (record.best) parts_->best->take(parts_->model.parameters());
  }

  TrainerParts<B>* parts_;
  TrainingRun* run_;
};

}  // namespace greentrainer
