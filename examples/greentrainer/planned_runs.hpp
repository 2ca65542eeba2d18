#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/train/run_forecast.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "plan_prices.hpp"

namespace greentrainer::program {

/// The batch that the options describe, with another number of sequences.
using BatchOfSize = std::function<Workload(Extent batch_size)>;

/// What the optimizer holds.
UpdateMemory update_memory(const PlanGraph& graph, const PlanOptions& options);

/// The examples of a run: those of the data file, or as many as the options say, each a sequence of the planned batch.
TrainingBatches run_batches(const ModelFacts& facts, const Workload& batch, const PlanOptions& options);

/// How cached values would shorten the run; empty without a cache.
std::vector<CutForecast> cache_forecasts(const PlanGraph& graph, const TrainingBatches& batches,
                                         const PlanOptions& options);

/// What a cache takes in memory at a cut, as a Trainer counts it.
std::function<Bytes(const Cut&)> cached_bytes(const PlanGraph& graph, const TrainingBatches& batches,
                                              const PlanOptions& options);

/// The run over these batches, with one selection for all of them.
PlannedRun planned_run(const PlanGraph& graph, const Selection& selection, const TrainingBatches& batches,
                       const std::optional<Cut>& cut, const std::vector<DroppedSegment>& segments,
                       const std::vector<CutForecast>& forecasts, const LinearCost& full, const PlanOptions& options);

/// A run of equal batches within a budget. What choosing costs is not in it. `exact`: the graph of an ending.
RunPlan plan_within_budget(const PlanGraph& graph, const PlanGraph& exact, const Selection& trained,
                           const LinearCost& full_cost, const BatchOfSize& batch_of, const PlanOptions& options);

/// Prices the phases of the run that is planned. Throws ConfigError where finetune would: for a phase without a step,
/// or one that no tensor fits into.
void price_phases(PlanReport& report, const PlanGraph& graph, const LinearCost& full, const BatchOfSize& batch_of,
                  const PlanOptions& options);

}  // namespace greentrainer::program
