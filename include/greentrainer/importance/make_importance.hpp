#pragma once

#include <memory>
#include <string_view>

#include "greentrainer/importance/first_order.hpp"
#include "greentrainer/importance/loss_increase.hpp"
#include "greentrainer/importance/rivals.hpp"

namespace greentrainer {

/// The metric of a name: paper, first-order, gradient-norm, magnitude or random. Throws UsageError for any other.
template <Backend B>
std::unique_ptr<Importance<B>> make_importance(std::string_view name) {
  if (name == "paper") return std::make_unique<LossIncreaseImportance<B>>();
  if (name == "first-order") return std::make_unique<FirstOrderImportance<B>>();
  if (name == "gradient-norm") return std::make_unique<GradientNormImportance<B>>();
  if (name == "magnitude") return std::make_unique<MagnitudeImportance<B>>();
  if (name == "random") return std::make_unique<RandomImportance<B>>();
  throw UsageError("make_importance", text("--importance: expected paper, first-order, gradient-norm, magnitude or random, got ", name));
}

}  // namespace greentrainer
