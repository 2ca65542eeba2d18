#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "command.hpp"
#include "greentrainer/core/checked_integer.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "greentrainer/train/branch_rotation.hpp"
#include "greentrainer/train/phases.hpp"

namespace greentrainer::program {

/// What a phase of a run costs at most, since tensors are chosen on the way.
struct PlannedPhase {
  double flops_ratio = 0;
  Extent steps = 0;
  Flops most = 0;
};

/// The phases of a run of so many equal steps, priced as finetune does before it starts, without choosing: its ratio of
/// `full_step`, and in each step `update`, of all tensors.
inline std::vector<PlannedPhase> planned_phases(const std::vector<Phase>& phases, Extent steps, Flops full_step,
                                                Flops update) {
  std::vector<PlannedPhase> planned;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const Extent own = first_step_of(phases, i + 1, steps) - first_step_of(phases, i, steps);
    const Flops full = (CheckedInteger(own) * full_step).value();
    const CheckedInteger most =
        CheckedInteger(within_ratio(phases[i].flops_ratio, full)) + CheckedInteger(own) * update;
    planned.push_back({phases[i].flops_ratio, own, most.value()});
  }
  return planned;
}

inline Flops most_of(const std::vector<PlannedPhase>& phases) {
  CheckedInteger most = 0;
  for (const PlannedPhase& phase : phases) most += phase.most;
  return most.value();
}

/// What a backward pass costs where only some residual branches pass gradients exactly, over draws of them.
struct PlannedPassing {
  std::size_t exact = 0, branches = 0;
  Extent draws = 0;
  Flops mean = 0, least = 0, most = 0;
};

/// Over the first `draws` draws of seed 0. Throws ConfigError for a graph without residual branches.
template <class P>
PlannedPassing planned_passing(const TensorGraph<P>& graph, const Selection& trained, const Workload& workload,
                               double exact_share, Extent draws = 50) {
  const BranchRotation rotation(graph, {.exact_share = exact_share});
  PlannedPassing planned{.exact = rotation.exact(), .branches = rotation.count(), .draws = draws};
  CheckedInteger sum = 0;
  for (Extent draw = 0; draw < draws; ++draw) {
    const Selection drawn(trained.mask(), rotation.detached(draw));
    const Flops cost = evaluate(backward_cost(graph, drawn, ExactCost<P>{}), workload);
    planned.least = draw == 0 ? cost : std::min(planned.least, cost);
    planned.most = std::max(planned.most, cost);
    sum += cost;
  }
  planned.mean = sum.value() / draws;
  return planned;
}

}  // namespace greentrainer::program
