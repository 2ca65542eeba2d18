#pragma once

#include <optional>
#include <span>

#include "greentrainer/cost/memory_limit.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/models/model.hpp"
#include "plan_prices.hpp"

namespace greentrainer::program {

/// What a choice and the pass that follows from it are bound by.
struct PlanBounds {
  const Workload& workload;  ///< of a batch
  const Workload& coming;    ///< of all batches that the choice is for
  const MemoryLimit<PlanPolicy>& memory;
  const ImportanceDemand& metric;
  std::span<const CutForecast> forecasts;
  const LinearCost& full;
  const ModelFacts& facts;
  Bytes memory_limit = 0;  ///< 0: none
};

/// The pass that trains what is chosen.
struct PlannedPass {
  Selection trained;
  MemoryLimit<PlanPolicy>::Pass pass;
  std::optional<Cut> cut;  ///< where cached values begin
};

/// Chooses, where --rho asks for it, and sets the report's selection; else what is trained is that selection, or
/// everything. Throws InfeasibleMemory where the pass does not fit, ConfigError for a file of importances that names
/// other tensors, InfeasibleRatio.
PlannedPass plan_pass(PlanReport& report, const PlanGraph& graph, const PlanBounds& bounds, const PlanOptions& options);

/// Takes what is frozen out of what is trained, and of what could be.
void freeze(PlanReport& report, const PlanGraph& graph, const Workload& workload, const PlanOptions& options);

}  // namespace greentrainer::program
