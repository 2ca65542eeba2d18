#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/cache_obstacle.hpp"
#include "greentrainer/train/rank_agreement.hpp"
#include "greentrainer/train/training_step.hpp"

namespace greentrainer {

/// Chooses what a run trains in a round, and prepares its passes.
template <Backend B>
class RoundSelection {
 public:
  using Round = typename TensorChoice<B>::Round;

  RoundSelection(TrainerParts<B>& parts, TrainingRun& run) : parts_(&parts), run_(&run) {}

  /// What a cache would hold in a round; empty where nothing is to be cached.
  static std::vector<CutForecast> forecasts(const TrainerParts<B>& parts, const TrainingBatches& batches,
                                            const Round& round) {
    const PrefixCache<B>* cache = parts.pass.cache();
    if (cache == nullptr) return {};
    const auto& graph = parts.model.graph();
    return forecast_cache(graph, cacheable_cuts(graph), cache->room(), batches, round.first, round.end, cache->cut(),
                          &cache->store());
  }

  /// With GreenOptions::importance_step, makes the step before the round.
  void select(const Round& round) {
    const FitOptions& options = run_->options;
    run_->is_whole = false;
    if (const bool ends = round.first >= run_->ending_from; ends != parts_->is_ending)
      parts_->go_through(ends, run_->batches, run_->sample.examples(), options);
    const auto& graph = parts_->trained().graph();
    SelectionRecord record{.step = round.first, .names = {}, .importance = {}};
    parts_->trained().executor().release_memory();  // an evaluation, or an earlier selection, may have needed more
    std::vector<double> importance;
    if (parts_->choice.in_step()) importance = train_in_full(record.importance_memory);
    const auto start = TrainingClock::now();
    const std::vector<CutForecast> with_cache = forecasts(*parts_, run_->batches, round);
    parts_->report.seconds.selection += seconds_since(start);
    Chosen chosen;
    if (const Selection* known = parts_->choice.known(round)) {
      chosen = take_known(*known, round, with_cache, record);
    } else {
      parts_->gradients.select(graph, select_none(graph));
      if (!parts_->choice.in_step()) importance = evaluate_importance(round, record.importance_memory);
      chosen = choose(round, importance, with_cache, record);
    }
    if (!parts_->ranks.is_alone()) expect_agreement(parts_->ranks, "selection", identity_of(parts_->selection));
    parts_->make_room(chosen.pass.memory.total());
    parts_->hold_elements(parts_->selection);
    parts_->pass.select(parts_->selection, chosen.cut, chosen.pass.segments, parts_->memory->room());
    if (chosen.cut) {
      record.cached_below = graph.op(chosen.cut->op).name;
      for (const CutForecast& f : with_cache) record.cached_bytes += f.cut == *chosen.cut ? f.bytes : 0;
    } else if (options.prefix_cache != PrefixCacheMode::off) {
      record.not_cached = why_not_cached(graph, parts_->selection, std::span(with_cache));
    }
    for (const DroppedSegment& segment : chosen.pass.segments)
      record.recomputed_from.push_back(graph.op(segment.first).name);
    record.memory = chosen.pass.memory;
    record.recomputation_optimal = chosen.pass.optimal;
    parts_->report.memory.training = std::max(parts_->report.memory.training, record.memory.total());
    parts_->trained().executor().release_memory();  // importance may have needed more
    parts_->gradients.select(graph, parts_->selection);
    parts_->optimizer->select(graph, parts_->selection);
    parts_->with_state = parts_->selection;
    record.names = names_of(graph, parts_->selection);
    if (const BranchRotation* rotation = parts_->choice.rotation())
      record.identity_branches = rotation->names(round.first);
    parts_->report.selections.push_back(std::move(record));
    run_->selection_made = run_->next_step == round.chosen_at;
    run_->is_whole = true;
    if (options.on_selection) parts_->call_back([&] { options.on_selection(parts_->report.selections.back()); });
  }

 private:
  /// What is trained, and how its passes are made.
  struct Chosen {
    std::optional<Cut> cut;
    typename MemoryLimit<B>::Pass pass;
  };

  /// Bytes by which an evaluation on the way or after training, if there is one, exceeds the limit.
  Bytes evaluation_excess(const Selection& held, const std::optional<Cut>& cut) const {
    const MemoryLimit<B>& memory = *parts_->memory;
    return evaluates_trained(run_->options) ? memory.excess(memory.evaluation(1, held, cut)) : 0;
  }

  Chosen take_known(const Selection& known, const Round& round, std::span<const CutForecast> with_cache,
                    SelectionRecord& record) {
    const auto& graph = parts_->trained().graph();
    const MemoryLimit<B>& memory = *parts_->memory;
    const Workload coming = run_->batches.workload_of_steps(round.first, round.end);
    Selection& selection = parts_->selection;
    selection = Selection(known.mask(), parts_->choice.detached(round.first));
    Chosen chosen{.cut = best_cut(graph, ExactCost<B>{}, coming, with_cache, selection), .pass = {}};
    chosen.pass = memory.training(selection, chosen.cut);
    if (chosen.cut && std::max(memory.excess(chosen.pass), evaluation_excess(selection, chosen.cut)) > 0) {
      chosen.cut.reset();  // the cache is what can be done without
      chosen.pass = memory.training(selection, chosen.cut);
    }
    record.recomputed = evaluate(pass_cost(graph, chosen.pass.plan, ExactCost<B>{}).recomputed, coming);
    return chosen;
  }

  Chosen choose(const Round& round, const std::vector<double>& importance, std::span<const CutForecast> with_cache,
                SelectionRecord& record) {
    const auto start = TrainingClock::now();
    const TensorChoice<B>& choice = parts_->choice;
    const MemoryLimit<B>& memory = *parts_->memory;
    const bool another_follows = round.end < run_->batches.steps();
    LimitedSelection<B> limited = choice.choose(
        run_->batches, round, choice.to_choose_by(importance, round, run_->options.seed), with_cache, memory,
        [&](const Selection& held, const std::optional<Cut>& cut) {
          const Bytes again =
              another_follows ? memory.excess(memory.importance(choice.importance_demand(), held, cut)) : 0;
          return std::max(again, evaluation_excess(held, cut));
        });
    parts_->report.seconds.selection += seconds_since(start);
    const BudgetedSelection& chosen = limited.chosen;
    parts_->selection = chosen.selection;
    record.budget = chosen.budget;
    record.cost = chosen.cost;
    record.recomputed = limited.recomputed;
    record.unit = choice.unit();
    record.optimal = chosen.optimal;
    record.gap = chosen.gap;
    for (std::size_t i = 0; i < importance.size(); ++i) {
      if (choice.frozen().mask().empty() || !choice.frozen().mask()[i])
        record.importance[parts_->model.graph().parameters()[i].name] = importance[i];
    }
    return {.cut = chosen.cut, .pass = std::move(limited.pass)};
  }

  std::vector<double> evaluate_importance(const Round& round, MemoryEstimate& memory) {
    const auto start = TrainingClock::now();
    const auto& graph = parts_->model.graph();
    const TensorChoice<B>& choice = parts_->choice;
    const Importance<B>& metric = choice.importance();
    TrainingReport& report = parts_->report;
    const auto pass = parts_->memory->importance(choice.importance_demand(), parts_->held(), parts_->cached_cut());
    report.memory.importance = std::max(report.memory.importance, pass.memory.total());
    memory = pass.memory;
    parts_->make_room(memory.total());
    Schedule full_pass;
    if (metric.full_passes() > 0) full_pass = make_schedule(graph, pass.plan);
    full_pass.largest = parts_->memory->room();
    const LinearCost again = pass_cost(graph, pass.plan, ExactCost<B>{}).recomputed;
    report.flops.importance += choice.importance_flops(run_->batches, round);
    // Metrics with passes add up over batches, which are dealt whole: no gradient is exchanged. Others look at the
    // weights, which are the same on all ranks.
    Ranks& ranks = parts_->ranks;
    const bool dealt = metric.full_passes() > 0;
    std::vector<Batch> made;
    std::vector<std::size_t> places;  // of these among all that are measured
    std::size_t measured = 0;
    for (const auto& numbers : choice.measured_on(run_->batches, round)) {
      const std::size_t place = measured++;
      const bool own = !dealt || static_cast<int>(place % static_cast<std::size_t>(ranks.size())) == ranks.rank();
      report.flops.importance += metric.full_passes() * evaluate(again, run_->batches.workload_of_batch(numbers));
      if (!own) continue;
      check_batch(parts_->model.facts(), made.emplace_back(run_->batches.make(numbers)));
      places.push_back(place);
    }
    const auto of = [&](std::span<const Batch> batches) {
      auto context = parts_->importance_context(batches, run_->options, round.chosen_at);
      if (dealt) context.full_pass = &full_pass;
      return metric.evaluate(context);
    };
    std::vector<double> importance(graph.parameters().size(), 0.0);
    if (dealt && run_->options.gradient_sums == GradientSums::exact)
      importance = sum_in_order(made, places, measured, of);
    else if (!made.empty())
      importance = of(made);
    if (dealt && run_->options.gradient_sums != GradientSums::exact)
      ranks.sum(std::span<double>(importance), Traffic::importance);
    report.seconds.importance += seconds_since(start);
    return importance;
  }

  /// Importances of batches that stand at these places among all ranks' `count`, added up in their order, so that they
  /// have the same bits for any number of ranks.
  template <class Evaluate>
  std::vector<double> sum_in_order(const std::vector<Batch>& batches, const std::vector<std::size_t>& places,
                                   std::size_t count, const Evaluate& evaluate) {
    const std::size_t parameters = parts_->model.graph().parameters().size();
    std::vector<double> of_all(count * parameters, 0.0), sums(parameters, 0.0);
    for (std::size_t b = 0; b < batches.size(); ++b) {
      const std::vector<double> one = evaluate(std::span(batches).subspan(b, 1));
      std::copy(one.begin(), one.end(), of_all.begin() + static_cast<std::ptrdiff_t>(places[b] * parameters));
    }
    parts_->ranks.sum(std::span<double>(of_all), Traffic::importance);  // one rank's and zeros
    for (std::size_t i = 0; i < of_all.size(); ++i) sums[i % parameters] += of_all[i];
    return sums;
  }

  /// One step of everything. Returns what its gradients say of importance, at the weights before it. Parameters that
  /// were not trained until now make the first step of an optimizer without state, and keep none.
  std::vector<double> train_in_full(MemoryEstimate& memory) {
    const auto& graph = parts_->model.graph();
    memory = parts_->memory->importance_step(parts_->choice.importance().scratch_elements(graph), parts_->held());
    parts_->report.memory.importance = std::max(parts_->report.memory.importance, memory.total());
    parts_->make_room(memory.total());
    parts_->selection = select_all(graph);
    parts_->hold_elements(parts_->selection);
    parts_->pass.select(parts_->selection, std::nullopt);  // what is cached lies above weights that now change
    parts_->gradients.select(graph, parts_->selection);
    std::vector<double> importance;
    make_step(*parts_, *run_, &importance);
    return importance;
  }

  TrainerParts<B>* parts_;
  TrainingRun* run_;
};

}  // namespace greentrainer
