#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/batch.hpp"
#include "greentrainer/optim/learning_rate_schedule.hpp"
#include "greentrainer/train/training_report.hpp"

namespace greentrainer {

/// A distance between two selections.
struct Interval {
  enum class Unit { epochs, steps };

  Extent every = 2;
  Unit unit = Unit::epochs;
};

/// GreenTrainer: which tensors are trained is chosen under a FLOPs budget, and chosen again as training goes on.
struct GreenOptions {
  double flops_ratio =
      0.5;  ///< the paper's rho: (forward + backward) / full fine-tuning's, over the steps until the next selection
  std::string importance = "paper";  ///< see make_importance
  Extent importance_batches = 1;     ///< evaluated on the first ones of the coming steps
  Interval reselect_every = {};
};

/// How long and on what.
struct FitOptions {
  Extent epochs = 1;
  Extent steps = 0;                  ///< if positive, instead of epochs
  Extent batch_size = 4;             ///< examples in one pass
  Extent gradient_accumulation = 1;  ///< passes in one step
  LearningRateSchedule schedule = {};
  double clip_norm = 0;  ///< 0: off; as torch.nn.utils.clip_grad_norm_ over the selected parameters
  bool shuffle = true;
  std::uint64_t seed = 0;
  std::span<const Example> validation = {};  ///< for the loss before and after; empty: the training examples
  bool evaluate = true;                      ///< whether to take these losses at all

  std::function<void(const StepRecord&)> on_step = {};
  std::function<void(const SelectionRecord&)> on_selection = {};
  std::function<bool()> should_stop = {};  ///< asked before every step and every pass of an evaluation
};

}  // namespace greentrainer
