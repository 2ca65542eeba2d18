#pragma once

#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "greentrainer/core/types.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/train/run_budget.hpp"

namespace greentrainer {

/// One optimizer step.
struct StepRecord {
  Extent step = 0;  ///< from 1
  Extent total_steps = 0;
  double loss = 0;  ///< mean over the labelled tokens of the global batch, before the step
  double learning_rate = 0;
  double gradient_norm = 0;  ///< of the selected parameters, before clipping; 0 unless clipping is on
  Extent tokens = 0;
  Extent labelled_tokens = 0;
  double seconds = 0;                 ///< of this step
  Flops flops = 0;                    ///< forward and backward of this step
  Flops recomputed_flops = 0;         ///< on top of these
  Flops full_flops = 0;               ///< what full fine-tuning would have taken
  bool skipped = false;               ///< changed nothing: something was not finite (FitOptions::on_nan)
  std::optional<double> joules = {};  ///< since the step before it, choosing tensors included; nothing if not measured
  bool in_full = false;  ///< trained everything, for the importance of its gradients (GreenOptions::importance_step)
};

/// One choice of the parameters to train.
struct SelectionRecord {
  Extent step = 0;  ///< steps done before it; with GreenOptions::importance_step the last of them trained everything
  std::vector<std::string> names;
  std::map<std::string, double> importance;  ///< of all candidates; empty where nothing was evaluated
  Flops budget = 0;                       ///< for the backward passes until the next selection; 0 for a known selection
  Flops cost = 0;                         ///< of these, likewise
  std::string unit = "FLOPs";             ///< of budget and cost: the cost model's
  bool optimal = false;                   ///< as in BudgetedSelection; with sampling of what was drawn
  double gap = 0;                         ///< likewise; 0 for a fixed selection
  Flops recomputed = 0;                   ///< until the next selection, in the same unit; on top of `cost`
  bool recomputation_optimal = true;      ///< nothing else between the same cuts fits and costs less
  MemoryEstimate memory = {};             ///< of training it, for the largest batch
  MemoryEstimate importance_memory = {};  ///< of evaluating importances; nothing where that was not done
  std::vector<std::string> recomputed_from = {};  ///< the first operators of the segments that are computed again
  std::string cached_below = {};  ///< the first operator above the cut whose values are cached; empty without
  std::string not_cached = {};    ///< why nothing is cached until the next selection; empty unless it was asked for
  Bytes cached_bytes = 0;         ///< that cached values will take before the next selection
  /// Residual branches that pass the identity until the next selection, by the operators that end them: see
  /// Trainer::use_passing. They follow from the step, so a saved state has none.
  std::vector<std::string> identity_branches = {};
};

/// One evaluation of a run.
struct EvaluationRecord {
  Extent step = 0;                    ///< steps done before it; 0: before training
  double loss = 0;                    ///< of the weights in memory, in float or double
  std::optional<double> metric = {};  ///< FitOptions::keep_best's, unless that is the loss
  bool best = false;                  ///< of the metric so far, training having begun; the first of equals

  double value() const { return metric.value_or(loss); }
};

/// The report of a run: what was done, and what it cost.
struct TrainingReport {
  /// Of the weights in memory, in float or double, on the validation examples if given, else on training examples;
  /// nothing where it was not taken. `loss_after` is of the weights that the run ends with: the best, if asked for.
  std::optional<double> loss_before, loss_after;
  struct {
    std::size_t examples = 0;  ///< that losses are of
    std::size_t of = 0;        ///< so many
    bool held_out = false;     ///< whether they are validation examples
  } evaluated;
  Extent steps = 0, tokens = 0, labelled_tokens = 0;
  Extent skipped = 0;       ///< steps, besides, that changed nothing: something was not finite
  Extent ending_steps = 0;  ///< of all these, those of Trainer::use_ending. Not saved
  struct {
    Flops train = 0, importance = 0, optimizer = 0, evaluation = 0, full = 0;
    Flops recomputed = 0;      ///< forward operators run again in training passes; not in `train`
    Flops saved_by_cache = 0;  ///< of forward passes that cached values made needless; not in `train`
    Flops refilled = 0;  ///< of cached values that were computed again when a saved run went on; in no other number
  } flops;
  struct {
    double importance = 0, selection = 0, forward = 0, backward = 0, optimizer = 0, evaluation = 0;
    double steps = 0;      ///< passes, their batches and updates: all of every step
    double callbacks = 0;  ///< the caller's own, such as on_step
    double total = 0;      ///< without callbacks
  } seconds;
  /// What phases take in the backend's memory at their worst moments, as planned; 0 for one that did not run.
  struct Memory {
    Bytes importance = 0, training = 0, evaluation = 0;
    Bytes best_weights = 0;  ///< of the copy that FitOptions::keep_best has in the host's memory, beside all phases
    Bytes exact_sums = 0;    ///< of exact GradientSums in the host's memory, beside all phases
    /// Of the largest copy that Trainer::begin_save has had in the host's memory, in none of the others. Not saved.
    Bytes save_copy = 0;
    Bytes peak() const { return std::max({importance, training, evaluation}) + best_weights + exact_sums; }
  } memory;
  /// Energy of all steps, and of choosing tensors: what a budget in joules pays for. Nothing if not measured, from the
  /// first step to the last.
  std::optional<double> joules = {};
  std::vector<SelectionRecord> selections;
  std::vector<StepRecord> history;
  std::vector<EvaluationRecord> evaluations;
  Bytes cached_bytes = 0;             ///< that cached values took at most
  std::vector<std::string> warnings;  ///< what the run went on without
  bool stopped = false;               ///< asked to before all was done
  bool patience_over = false;         ///< FitOptions::patience ended the run
  RunPlan plan;                       ///< of a run with a budget
  /// What came next would have exceeded the budget: fewer steps were taken than planned.
  bool budget_reached = false;

  /// Seconds of all steps, and of choosing tensors: what a budget in seconds pays for.
  double training_seconds() const { return seconds.steps + seconds.importance + seconds.selection; }

  /// The evaluation whose weights FitOptions::keep_best ends with; null where nothing was compared.
  const EvaluationRecord* best() const {
    const auto last = std::find_if(evaluations.rbegin(), evaluations.rend(), [](const auto& e) { return e.best; });
    return last == evaluations.rend() ? nullptr : &*last;
  }
  /// Evaluations since that one.
  Extent since_best() const {
    const EvaluationRecord* const one = best();
    return one == nullptr ? 0 : static_cast<Extent>(&evaluations.back() - one);
  }

  /// All FLOPs but those of evaluation.
  Flops spent() const { return flops.train + flops.recomputed + flops.importance + flops.optimizer; }

  /// Executed forward, recomputed and backward FLOPs as a share of full fine-tuning's on the same batches.
  double ratio() const { return share(flops.train + flops.recomputed); }
  /// The same with importance, optimizer and evaluation on top.
  double ratio_all_in() const { return share(spent() + flops.evaluation); }

 private:
  double share(Flops spent) const {
    return flops.full == 0 ? 0 : static_cast<double>(spent) / static_cast<double>(flops.full);
  }
};

inline std::ostream& operator<<(std::ostream& out, const TrainingReport& r) {
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(4);
  const auto loss = [&out](const std::optional<double>& value) -> std::ostream& {
    return value ? out << *value : out << "not taken";
  };
  if (r.loss_before || r.loss_after) {
    out << "loss ";
    loss(r.loss_before) << " -> ";
    loss(r.loss_after) << " over " << r.evaluated.examples << " of " << r.evaluated.of
                       << (r.evaluated.held_out ? " validation" : " training") << " examples\n";
  }
  if (const EvaluationRecord* const best = r.best()) {
    out << "the weights are those after step " << best->step << ", the best of " << r.evaluations.size()
        << " evaluations";
    if (best->metric) out << " by a metric of " << *best->metric;
    if (r.patience_over) out << "; the run ended after " << r.since_best() << " without a better one";
    out << '\n';
  }
  out << r.steps << " steps, " << r.tokens << " tokens";
  if (r.skipped > 0) out << ", " << r.skipped << " steps skipped, where the loss or a gradient was not finite";
  out << '\n'
      << std::setprecision(r.flops.full < 1'000'000'000 ? 6 : 1) << "FLOPs "
      << static_cast<double>(r.flops.train + r.flops.recomputed) / 1e9 << " G of "
      << static_cast<double>(r.flops.full) / 1e9 << " G for full fine-tuning: ratio " << std::setprecision(4)
      << r.ratio() << ", all in " << r.ratio_all_in() << '\n'
      << std::setprecision(2) << "seconds " << r.seconds.total << ": forward " << r.seconds.forward << ", backward "
      << r.seconds.backward << ", optimizer " << r.seconds.optimizer << ", importance " << r.seconds.importance
      << ", selection " << r.seconds.selection << ", evaluation " << r.seconds.evaluation << '\n';
  if (r.plan.seconds > 0) {
    out << std::setprecision(1) << "budget " << r.plan.seconds << " s: planned " << r.plan.planned_seconds << " s for "
        << r.plan.steps << " steps of batch size " << r.plan.batch_size << ", spent " << r.training_seconds() << " s"
        << (r.budget_reached ? "; the next step would have exceeded it" : "") << '\n';
  }
  if (r.plan.joules > 0) {
    out << std::setprecision(1) << "budget " << r.plan.joules << " J: planned " << r.plan.planned_joules << " J for "
        << r.plan.steps << " steps of batch size " << r.plan.batch_size
        << (r.budget_reached ? "; the next step would have exceeded it" : "") << '\n';
  }
  if (r.joules) out << std::setprecision(1) << "energy of the steps " << *r.joules << " J\n";
  if (r.plan.budget > 0) {
    out << std::setprecision(1) << "budget " << static_cast<double>(r.plan.budget) / 1e9 << " G: planned "
        << r.plan.promise() << static_cast<double>(r.plan.planned) / 1e9 << " G in " << r.plan.steps
        << " steps of batch size " << r.plan.batch_size << ", spent " << static_cast<double>(r.spent()) / 1e9 << " G"
        << (r.budget_reached ? "; the next step would have exceeded it" : "") << '\n';
  }
  if (!r.selections.empty()) {
    out << "selected tensors " << r.selections.back().names.size();
    if (r.selections.back().names.empty()) {
      out << ": nothing is trained; no tensor that fits has a positive importance; take another importance "
             "(gradient-norm, say) or a lower learning rate";
    }
    out << '\n';
  }
  for (const std::string& warning : r.warnings) out << "warning: " << warning << '\n';
  for (const SelectionRecord& s : r.selections) {
    if (s.cost > s.budget)
      out << "after step " << s.step << " the selector spent " << s.cost << " of a budget of " << s.budget << ' '
          << s.unit << '\n';
  }
  out.flags(flags);
  out.precision(precision);
  return out;
}

}  // namespace greentrainer
