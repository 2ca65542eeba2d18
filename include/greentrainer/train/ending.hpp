#pragma once

#include <cmath>
#include <optional>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/types.hpp"
#include "greentrainer/models/model.hpp"

namespace greentrainer {

/// How long the ending of a run is: the steps that Trainer::use_ending makes with the gradients of another graph.
struct EndingOptions {
  /// Of the run's steps, rounded to the nearest number of them; nothing: as many as FitOptions::budget, which must then
  /// be of FLOPs, pays for beside the steps before.
  std::optional<double> share = {};

  /// Steps of a run of so many, where they are a share of it; 0: the budget tells.
  Extent steps(Extent of_run) const {
    return share ? static_cast<Extent>(std::llround(*share * static_cast<double>(of_run))) : 0;
  }
};

/// Throws ConfigError for an option that is out of range.
inline void check_options(const EndingOptions& o) {
  expect_option(!o.share || (*o.share > 0 && *o.share <= 1), "EndingOptions", "share",
                "more than 0 and at most 1, or nothing", o.share.value_or(0));
}

/// The last steps of a run: a model over the same weights whose graph they go through.
template <Backend B>
struct Ending {
  Model<B> model;
  EndingOptions options = {};
};

}  // namespace greentrainer
