#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string_view>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// How the learning rate moves over a run, as in transformers: it rises linearly over `warmup_steps`, then falls to
/// zero at the last step along a line or half a cosine, or stays. Or any function of the step.
struct LearningRateSchedule {
  enum class Kind { linear, cosine, constant };

  Kind kind = Kind::linear;
  Extent warmup_steps = 0;
  /// In place of the two: the factor on the peak learning rate at a step (from 0) of so many. Must be a function of
  /// these alone, so that a saved run can go on.
  std::function<double(Extent step, Extent total_steps)> of_step = {};

  /// Factor on the peak learning rate at `step` (from 0) of `total_steps`. Throws ConfigError where `of_step` gives no
  /// finite number of 0 or more.
  double factor(Extent step, Extent total_steps) const {
    if (of_step) {
      const double own = of_step(step, total_steps);
      if (std::isfinite(own) && own >= 0) return own;
      throw ConfigError("LearningRateSchedule", "of_step",
                        text("expected a finite factor of at least 0 at step ", step, ", got ", own));
    }
    if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(std::max<Extent>(1, warmup_steps));
    if (kind == Kind::constant) return 1;
    const double done =
        static_cast<double>(step - warmup_steps) / static_cast<double>(std::max<Extent>(1, total_steps - warmup_steps));
    if (kind == Kind::linear) return std::max(0.0, 1 - done);
    return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, done))));
  }

  static std::string_view name_of(Kind kind) {
    return kind == Kind::linear ? "linear" : kind == Kind::cosine ? "cosine" : "constant";
  }
  static Kind parse(std::string_view name) {
    if (name == "linear") return Kind::linear;
    if (name == "cosine") return Kind::cosine;
    if (name == "constant") return Kind::constant;
    throw UsageError("LearningRateSchedule", "schedule", text("expected linear, cosine or constant, got ", name));
  }
};

}  // namespace greentrainer
