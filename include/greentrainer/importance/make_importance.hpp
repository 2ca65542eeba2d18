#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "greentrainer/cost/memory_limit.hpp"
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

/// Throws UsageError: a name that importance_names do not have.
[[noreturn]] inline void refuse_importance(std::string_view name) {
  std::string known;
  for (const char* one : importance_names) known += text(known.empty() ? "" : ", ", one);
  throw UsageError("make_importance", "importance", text("expected one of ", known, "; got ", name));
}

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
  refuse_importance(name);
}

/// What evaluating the metric of a name runs and holds, for a graph of any policy: a plan has no metrics. B: the
/// backend that will evaluate it. Throws UsageError as make_importance.
template <Backend B, class P>
ImportanceDemand importance_demand_of(std::string_view name, const TensorGraph<P>& graph) {
  const Extent gradients = TransientGradients<B>::elements(graph), decoded = ReadableElements<B>::elements(graph);
  if (name.starts_with("paper")) return {.full_passes = 2, .gradient_elements = gradients, .saves_weights = true};
  if (name == "gradient-norm" || name == "fisher") return {.full_passes = 1, .gradient_elements = gradients};
  if (name == "relative-gradient-norm") return {.full_passes = 1, .gradient_elements = gradients + decoded};
  if (name == "magnitude") return {.gradient_elements = decoded};
  if (name == "random") return {};
  if (name != "first-order" && name != "adam-gain") refuse_importance(name);
  Extent updated = 0;
  for (const Parameter& p : graph.parameters()) updated = std::max(updated, p.size());
  return {.full_passes = 1, .gradient_elements = gradients + updated + decoded};
}

}  // namespace greentrainer
