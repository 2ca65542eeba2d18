#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/train/non_finite.hpp"
#include "greentrainer/train/trainer_parts.hpp"

namespace greentrainer {

/// Scales the gradients so that their common norm is at most `limit`; returns the norm before. As in PyTorch they are
/// multiplied whether or not it is needed, so that the FLOPs are known beforehand.
template <Backend B>
double clip_gradients(TrainerParts<B>& parts, double limit) {
  parts.norm.zero();
  const auto for_each = [&](const auto& use) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(parts.model.graph().parameters().size()); ++id) {
      if (parts.selection.contains(id)) use(parts.gradients[id]);
    }
  };
  auto& backend = parts.model.backend();
  for_each(
      [&](const Tensor<B>& gradient) { backend.sum_of_squares(gradient.size(), gradient.data(), parts.norm.data()); });
  const double norm = std::sqrt(parts.norm.download().front());
  const double factor = std::min(1.0, limit / (norm + 1e-6));
  for_each([&](const Tensor<B>& gradient) { backend.scale(gradient.size(), gradient.data(), factor); });
  return norm;
}

/// Updates what is selected by its gradients. What has no optimizer state makes the first step of an optimizer without
/// one.
template <Backend B>
void update_weights(TrainerParts<B>& parts, double learning_rate) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(parts.model.graph().parameters().size()); ++id) {
    if (!parts.selection.contains(id)) continue;
    Tensor<B>& weights = parts.model.parameters()[id];
    if (parts.with_state.contains(id))
      parts.optimizer->step(id, weights, parts.gradients[id], learning_rate);
    else
      parts.optimizer->candidate(id, weights.matrix(), parts.gradients[id].matrix(), learning_rate);
  }
}

/// The passes of a step on this rank: its batches, and what their gradients are scaled by.
struct StepPasses {
  std::vector<TrainingBatches::Numbers> numbers;  ///< of the examples
  std::vector<Batch> batches;
  double gradient_scale = 1;
  std::vector<std::size_t> of_all_ranks = {};  ///< examples, ascending
};

/// What a rank's passes of a step have come to.
template <Backend B>
struct StepResult {
  typename TrainingPass<B>::Result total;
  std::vector<double> losses = {};  ///< with exact sums: of all ranks' examples, those of other ranks 0
};

/// Makes this rank's batches of the run's next step, and counts the tokens of all ranks. Throws DataError for examples
/// that the model cannot read, or that carry no loss.
template <Backend B>
StepPasses prepare_passes(TrainerParts<B>& parts, const TrainingRun& run, StepRecord& record) {
  const auto of_ranks = run.batches.dealt(run.next_step, parts.ranks.size());
  StepPasses passes{.numbers = of_ranks[static_cast<std::size_t>(parts.ranks.rank())], .batches = {}};
  for (const auto& of_batch : passes.numbers)
    check_batch(parts.model.facts(), passes.batches.emplace_back(run.batches.make(of_batch)));
  for (const auto& of_rank : of_ranks) {
    for (const auto& of_batch : of_rank) {
      passes.of_all_ranks.insert(passes.of_all_ranks.end(), of_batch.begin(), of_batch.end());
      const Workload workload = run.batches.workload_of_batch(of_batch);
      record.tokens += workload[Measure::decoder_tokens] + workload[Measure::encoder_tokens];
      record.labelled_tokens += workload[Measure::labelled_tokens];
      record.full_flops += evaluate(parts.full_cost, workload);
    }
  }
  if (record.labelled_tokens == 0)
    throw DataError("fit", text("step ", record.step), "expected labelled tokens in the batch, got none");
  std::sort(passes.of_all_ranks.begin(), passes.of_all_ranks.end());
  passes.gradient_scale = 1.0 / static_cast<double>(record.labelled_tokens);
  return passes;
}

/// Runs this rank's passes of a step: gradients are then those of what is selected, of this rank's examples. With exact
/// sums TrainerParts::exact has them; with several ranks, TrainerParts::exchange sums them already. With an inspector,
/// for what it sees alone.
template <Backend B>
StepResult<B> run_passes(TrainerParts<B>& parts, const TrainingRun& run, const StepPasses& passes,
                         PassInspector<B>* inspector = nullptr) {
  const FitOptions& options = run.options;
  const bool exact = options.gradient_sums == GradientSums::exact;
  StepResult<B> result;
  auto& total = result.total;
  if (exact) {
    parts.exact.begin(parts.model.graph(), parts.selection);
    parts.report.memory.exact_sums = std::max(parts.report.memory.exact_sums, parts.exact.bytes());
    result.losses.assign(passes.of_all_ranks.size(), 0.0);
  }
  parts.gradients.zero();
  const bool exchanges = !exact && inspector == nullptr && !parts.ranks.is_alone();
  if (exchanges) {
    parts.exchange.begin(parts.selection, parts.pass.completion_order(), parts.gradients, parts.ranks,
                         static_cast<std::size_t>(options.exchange_bucket));
  }
  DropoutSeed dropout{.seed = options.seed,
                      .pass = static_cast<std::uint64_t>(run.next_step * options.gradient_accumulation)};
  for (std::size_t b = 0; b < passes.batches.size(); ++b, ++dropout.pass) {
    const std::size_t first = passes.numbers[b].front();
    if (exact) dropout.pass = static_cast<std::uint64_t>(run.next_step) * run.batches.count() + first;
    GradientSink<B>* sink = &parts.gradients;
    if (exchanges && b + 1 == passes.batches.size()) sink = &parts.exchange;  // gradients are complete with this pass
    const auto ran = parts.pass.run(passes.batches[b], run.batches.examples(), passes.numbers[b],
                                    {.gradient_scale = passes.gradient_scale,
                                     .gradients = sink,
                                     .dropout = &dropout,
                                     .profile = inspector == nullptr ? &parts.profile : nullptr,
                                     .inspector = inspector});
    total.loss_sum += ran.loss_sum;
    total.flops += ran.flops;
    total.recomputed += ran.recomputed;
    total.saved += ran.saved;
    parts.look_at_cache(options);
    if (!exact) continue;
    const auto& all = passes.of_all_ranks;
    result.losses[static_cast<std::size_t>(std::lower_bound(all.begin(), all.end(), first) - all.begin())] =
        ran.loss_sum;
    parts.exact.add(parts.gradients);
    parts.gradients.zero();
  }
  return result;
}

/// Sums the results of all ranks' passes: gradients of what is selected, losses and FLOPs.
template <Backend B>
typename TrainingPass<B>::Result add_up_ranks(TrainerParts<B>& parts, const FitOptions& options, StepResult<B>& own) {
  const bool exact = options.gradient_sums == GradientSums::exact;
  if (exact)
    parts.exact.sum(parts.gradients, parts.ranks, static_cast<std::size_t>(options.exchange_bucket));
  else if (!parts.ranks.is_alone())
    parts.exchange.finish();
  typename TrainingPass<B>::Result sum;
  for (const auto& one : parts.ranks.gather(own.total, Traffic::control)) {
    sum.loss_sum += one.loss_sum;
    sum.flops += one.flops;
    sum.recomputed += one.recomputed;
    sum.saved += one.saved;
  }
  if (!exact) return sum;
  parts.ranks.sum(std::span<double>(own.losses), Traffic::control);  // one rank's and zeros
  sum.loss_sum = std::accumulate(own.losses.begin(), own.losses.end(), 0.0);
  return sum;
}

/// Whether a step, whose passes are over, may change the weights. Throws NumericalError where it must not and none may
/// be skipped, naming the tensor, and the operator in which it began.
template <Backend B>
bool may_update(TrainerParts<B>& parts, const TrainingRun& run, const StepPasses& passes, const StepRecord& record) {
  const auto problem = find_non_finite(parts, record.loss);
  if (!problem) return true;
  const FitOptions& options = run.options;
  const bool skips = options.on_nan == OnNonFinite::skip;
  if (skips && !record.in_full && parts.report.skipped < options.most_skipped) return false;
  NonFiniteFinder<B> finder(parts.model.backend(), parts.trained().graph());
  run_passes(parts, run, passes, &finder);
  std::string began;  // on the first rank that has seen it
  for (const std::string& found : parts.ranks.gather(finder.found(), Traffic::control))
    if (began.empty()) began = found;
  throw NumericalError(
      "fit", text("step ", record.step),
      text("expected a finite loss and finite gradients, got ", *problem,
           began.empty() ? "" : ", from operator " + began + " on",
           "; the weights are those before the step; lower the learning rate, clip gradients",
           !skips           ? ", or set on_nan to skip"
           : record.in_full ? ""
                            : text("; ", parts.report.skipped, " steps were skipped before (most_skipped)")));
}

/// Counts a step that is over.
inline void count_step(TrainingReport& report, TrainingRun& run, const StepRecord& record) {
  (record.skipped ? report.skipped : report.steps) += 1;
  report.tokens += record.tokens;
  report.labelled_tokens += record.labelled_tokens;
  report.flops.train += record.flops;
  report.flops.recomputed += record.recomputed_flops;
  report.flops.full += record.full_flops;
  report.seconds.steps += record.seconds;
  report.history.push_back(record);
  run.next_step = record.step;
  run.selection_made = false;
  run.is_whole = !record.in_full;  // else tensors are being chosen
}

/// Makes the run's next step with what is selected. `importance`: to be filled from the step's gradients, which are
/// those of everything. Throws DataError for examples that the model cannot read, and NumericalError when the loss or a
/// gradient is not finite and the step may not be skipped; weights are then as the last step left them.
template <Backend B>
void make_step(TrainerParts<B>& parts, TrainingRun& run, std::vector<double>* importance = nullptr) {
  const auto start = TrainingClock::now();
  const FitOptions& options = run.options;
  TrainingReport& report = parts.report;
  const Extent step = run.next_step;
  StepRecord record{.step = step + 1, .total_steps = run.batches.steps(), .in_full = importance != nullptr};
  const StepPasses passes = prepare_passes(parts, run, record);
  StepResult<B> own = run_passes(parts, run, passes);
  const auto ran = add_up_ranks(parts, options, own);
  record.flops = ran.flops;
  record.recomputed_flops = ran.recomputed;
  record.loss = ran.loss_sum * passes.gradient_scale;
  record.learning_rate = parts.optimizer->peak_learning_rate() * options.schedule.factor(step, run.batches.steps());
  record.skipped = !may_update(parts, run, passes, record);
  if (importance != nullptr) {
    const auto measuring = TrainingClock::now();
    auto context = parts.importance_context({}, options, step);
    *importance = parts.choice.importance().evaluate_gradients(context, parts.gradients);
    report.flops.importance += parts.choice.importance().gradients_flops(parts.model.graph(), *parts.optimizer);
    report.seconds.importance += seconds_since(measuring);
  }
  const auto update_start = TrainingClock::now();
  run.is_whole = false;
  if (!record.skipped) {
    if (parts.best) {
      parts.best->add(parts.selection, parts.model.parameters());
      report.memory.best_weights = parts.best->bytes();
    }
    if (options.clip_norm > 0) record.gradient_norm = clip_gradients(parts, options.clip_norm);
    update_weights(parts, record.learning_rate);
    for (ParameterId id = 0; id < static_cast<ParameterId>(parts.model.graph().parameters().size()); ++id) {
      if (parts.selection.contains(id)) run.changed.insert(id);
    }
    report.flops.optimizer += parts.updates_of(parts.selection, options);
    parts.model.backend().synchronize();
  }
  report.seconds.optimizer += seconds_since(update_start);
  report.flops.saved_by_cache += ran.saved;
  record.seconds = seconds_since(start);
  record.joules = parts.count_energy(options);
  count_step(report, run, record);
  if (options.on_step) parts.call_back([&] { options.on_step(record); });
}

}  // namespace greentrainer
