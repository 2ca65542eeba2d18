#include "planned_runs.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/train/cache_obstacle.hpp"
#include "greentrainer/train/disk_prefix_store.hpp"
#include "greentrainer/train/plan_run.hpp"
#include "optimizer_choice.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

namespace {

PrefixRoom room_of(const PlanOptions& options) {
  FitOptions fit;
  options.cache.set(fit);
  return {.element_size = size_of(fit.prefix_cache_type.value_or(DType::float32)),
          .beside_each = fit.prefix_cache == PrefixCacheMode::disk ? DiskPrefixStore::header_bytes : 0,
          .limit = fit.prefix_cache_limit};
}

/// FLOPs of updating what is selected once.
Flops update_of(const PlanGraph& graph, const Selection& selection, const PlanOptions& options) {
  return with_default_options(options.optimizer, [&](const auto& optimizer) {
    return update_price(graph, selection, [&](const Parameter& p) { return update_flops(optimizer, p); });
  });
}

/// The phases of a run of so many equal batches.
std::vector<PlannedPhase> phases_of_run(const PlanGraph& graph, const BatchOfSize& batch_of, const LinearCost& full,
                                        Extent batch_size, Extent steps, const PlanOptions& options) {
  return planned_phases(parse_phases("plan", options.phases), steps, evaluate(full, batch_of(batch_size)),
                        update_of(graph, select_all(graph), options));
}

}  // namespace

UpdateMemory update_memory(const PlanGraph& graph, const PlanOptions& options) {
  return with_default_options(options.optimizer, [&](const auto& optimizer) {
    return UpdateMemory([optimizer](const Parameter& p) { return state_elements(optimizer, p) * plan_element_size; },
                        scratch_bytes(optimizer, graph.parameters(), plan_element_size));
  });
}

TrainingBatches run_batches(const ModelFacts& facts, const Workload& batch, const PlanOptions& options) {
  FitOptions fit{.epochs = options.epochs,
                 .batch_size = options.batch_size,
                 .gradient_sums = options.gradient_sums == "exact" ? GradientSums::exact : GradientSums::fast};
  std::vector<Workload> examples;
  if (options.train.empty()) {
    Workload one = batch;
    for (std::int64_t& value : one.values) value /= options.batch_size;
    one[Measure::steps] = 1;
    examples.assign(static_cast<std::size_t>(options.examples), one);
  } else {
    const ModelFiles files = open_model("plan", options.model).files;
    const auto tokenizer = has_tokenizer(files) ? load_tokenizer(files) : nullptr;
    for (const Example& example : load_data(options.train, tokenizer.get(), facts, options.data).examples)
      examples.push_back(workload_of(example, batch.window));
  }
  return {std::move(examples), fit};
}

std::vector<CutForecast> cache_forecasts(const PlanGraph& graph, const TrainingBatches& batches,
                                         const PlanOptions& options) {
  if (options.cache.mode == "off") return {};
  return forecast_cache(graph, cacheable_cuts(graph), room_of(options), batches, 0, batches.steps());
}

std::function<Bytes(const Cut&)> cached_bytes(const PlanGraph& graph, const TrainingBatches& batches,
                                              const PlanOptions& options) {
  if (options.cache.mode == "off") return {};
  PrefixRoom kept = room_of(options);
  if (options.cache.mode == "disk") kept.limit = 0;
  Workload all;
  for (std::size_t i = 0; i < batches.count(); ++i) all += batches.workload(i);
  return [&graph, all, largest = batches.largest_batch(), kept](const Cut& cut) {
    return std::min(kept.limit, kept.entry(graph, cut, all)) +
           PrefixRoom{.element_size = plan_element_size}.entry(graph, cut, largest);
  };
}

PlannedRun planned_run(const PlanGraph& graph, const Selection& selection, const TrainingBatches& batches,
                       const std::optional<Cut>& cut, const std::vector<DroppedSegment>& segments,
                       const std::vector<CutForecast>& forecasts, const LinearCost& full, const PlanOptions& options) {
  PlannedRun run;
  run.examples = static_cast<Extent>(batches.count());
  run.steps = batches.steps();
  run.forecast = forecast_run(graph, selection, cut, room_of(options), batches, full, segments);
  if (cut)
    run.cached_below = graph.op(cut->op).name;
  else if (options.cache.mode != "off")
    run.not_cached = why_not_cached(graph, selection, std::span(forecasts));
  return run;
}

RunPlan plan_within_budget(const PlanGraph& graph, const PlanGraph& exact, const Selection& trained,
                           const LinearCost& full_cost, const BatchOfSize& batch_of, const PlanOptions& options) {
  const ExactCost<PlanPolicy> cost;
  const LinearCost passes = pass_cost(graph, training_plan(graph, trained), cost).total();
  const auto flops = [&](const LinearCost& of_step, const Selection& updated, Extent batch_size, Extent steps) {
    const CheckedInteger step =
        CheckedInteger(evaluate(of_step, batch_of(batch_size))) + update_of(graph, updated, options);
    return (CheckedInteger(steps) * step).value();
  };
  const std::optional<EndingOptions> ending =
      options.exact_ending == "none" ? std::nullopt : std::optional(parse_ending("plan", options.exact_ending));
  const LinearCost of_ending = pass_cost(exact, training_plan(exact, trained), cost).total();
  const auto more = [&](Extent size, Extent, Extent steps) {
    const Workload batch = batch_of(size);
    return (CheckedInteger(steps) * (evaluate(of_ending, batch) - evaluate(passes, batch))).value();
  };
  RunPrices prices{.steps = [&](Extent size) { return options.steps * options.batch_size / size; },
                   .price =
                       [&](Extent size, Extent steps) {
                         if (!options.phases.empty())
                           return most_of(phases_of_run(graph, batch_of, full_cost, size, steps, options));
                         const Extent last = ending ? ending->steps(steps) : 0;
                         return flops(passes, trained, size, steps) + more(size, steps, last);
                       }};
  if (ending && !ending->share) prices.ending = more;
  const Flops full = flops(full_cost, select_all(graph), options.batch_size, options.steps);
  RunPlan plan = plan_run(parse_budget("plan", options.budget, options.budget_cuts), options.batch_size, full, prices);
  if (ending && ending->share) plan.ending_steps = ending->steps(plan.steps);
  plan.exact = options.phases.empty();
  return plan;
}

void price_phases(PlanReport& report, const PlanGraph& graph, const LinearCost& full, const BatchOfSize& batch_of,
                  const PlanOptions& options) {
  const RunPlan* const plan = report.within_budget ? &*report.within_budget : nullptr;
  const Extent steps = plan != nullptr ? plan->steps : options.steps;
  const Extent batch_size = plan != nullptr ? plan->batch_size : options.batch_size;
  report.phases = phases_of_run(graph, batch_of, full, batch_size, steps, options);
  const Workload batch = batch_of(batch_size);
  const CheckedInteger full_step = CheckedInteger(evaluate(full, batch)) + update_of(graph, select_all(graph), options);
  report.full_of_phases = (CheckedInteger(steps) * full_step).value();
  for (const PlannedPhase& phase : report.phases) {
    if (phase.steps == 0) {
      throw ConfigError("plan", "phases",
                        text("expected a step or more of the run's ", steps, " in each phase, got none for rho ",
                             phase.flops_ratio, "; give it a larger share, or take more steps"));
    }
    if (phase.flops_ratio < report.ratio(report.cheapest)) {
      throw ConfigError("plan", "phases",
                        text("expected ratios of at least ", std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4,
                             ", the forward pass and the cheapest tensor, ", "got ", phase.flops_ratio));
    }
  }
}

}  // namespace greentrainer::program
