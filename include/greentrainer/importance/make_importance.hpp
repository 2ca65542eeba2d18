#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "greentrainer/importance/adam_gain.hpp"
#include "greentrainer/importance/first_order.hpp"
#include "greentrainer/importance/loss_increase.hpp"
#include "greentrainer/importance/per_weight.hpp"
#include "greentrainer/importance/rivals.hpp"

namespace greentrainer {

/// What make_importance knows.
inline constexpr std::array importance_names = {"paper",     "paper-per-weight", "first-order",
                                                "adam-gain", "gradient-norm",    "relative-gradient-norm",
                                                "fisher",    "magnitude",        "random"};

/// The metric of a name. Throws UsageError for any that importance_names do not have.
template <Backend B>
std::unique_ptr<Importance<B>> make_importance(std::string_view name) {
  if (name == "paper") return std::make_unique<LossIncreaseImportance<B>>();
  if (name == "paper-per-weight")
    return std::make_unique<PerWeightImportance<B>>(std::make_unique<LossIncreaseImportance<B>>());
  if (name == "first-order") return std::make_unique<FirstOrderImportance<B>>();
  if (name == "adam-gain") return std::make_unique<AdamGainImportance<B>>();
  if (name == "gradient-norm") return std::make_unique<GradientNormImportance<B>>();
  if (name == "relative-gradient-norm") return std::make_unique<RelativeGradientNormImportance<B>>();
  if (name == "fisher") return std::make_unique<FisherImportance<B>>();
  if (name == "magnitude") return std::make_unique<MagnitudeImportance<B>>();
  if (name == "random") return std::make_unique<RandomImportance<B>>();
  std::string known;
  for (const char* one : importance_names) known += text(known.empty() ? "" : ", ", one);
  throw UsageError("make_importance", "importance", text("expected one of ", known, "; got ", name));
}

}  // namespace greentrainer
