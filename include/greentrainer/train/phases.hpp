#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/text.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// A part of a run with a FLOPs ratio of its own.
struct Phase {
  double flops_ratio = 1;  ///< as GreenOptions::flops_ratio; at 1 everything is trained, and no importance measured
  double steps = 1;        ///< share of the run's

  bool trains_all() const { return flops_ratio == 1; }
};

/// Throws ConfigError for phases whose numbers are out of range; none at all are allowed.
inline void check_phases(const std::vector<Phase>& phases) {
  double sum = 0;
  for (const Phase& phase : phases) {
    expect_option(phase.flops_ratio > 0 && phase.flops_ratio <= 1, "GreenOptions", "phases",
                  "ratios of more than 0 and at most 1", phase.flops_ratio);
    expect_option(phase.steps > 0 && phase.steps <= 1, "GreenOptions", "phases",
                  "shares of the steps of more than 0 and at most 1", phase.steps);
    sum += phase.steps;
  }
  expect_option(phases.empty() || std::abs(sum - 1) < 1e-9, "GreenOptions", "phases",
                "shares of the steps that add up to 1", sum);
}

/// The step that a phase begins with in a run of so many; for the number behind the last phase, the run's end. The
/// nearest whole step to the shares of those before it, so that a short run may leave out a phase.
inline Extent first_step_of(const std::vector<Phase>& phases, std::size_t number, Extent steps) {
  if (number >= phases.size()) return steps;
  double before = 0;
  for (std::size_t i = 0; i < number; ++i) before += phases[i].steps;
  return std::min(steps, static_cast<Extent>(std::llround(before * static_cast<double>(steps))));
}

/// The number of the phase that a step is of, in a run of so many. Requires phases, and a step before the run's end.
inline std::size_t phase_of(const std::vector<Phase>& phases, Extent step, Extent steps) {
  std::size_t number = phases.size() - 1;
  while (number > 0 && first_step_of(phases, number, steps) > step) --number;
  return number;
}

/// "1 for 0.1, 0.4 for 0.9" of the steps.
inline std::string text_of(const std::vector<Phase>& phases) {
  std::string all;
  for (const Phase& phase : phases)
    all += text(all.empty() ? "" : ", ", exact_text(phase.flops_ratio), " for ", exact_text(phase.steps));
  return all;
}

}  // namespace greentrainer
