#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "greentrainer/core/text.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// What one part of an operator takes, in picoseconds: linear in its size, which part_size says.
struct PartTime {
  double per_unit = 0;
  double per_pass = 0;  ///< whatever the batch

  friend bool operator==(const PartTime&, const PartTime&) = default;
};

/// What the parts of operators take on one machine, backend and number of threads, and what a training step takes
/// beside them. In picoseconds. Made by `calibrate`.
struct OperatorTimes {
  std::map<std::string, PartTime, std::less<>> parts = {};     ///< by part_key
  double per_pass = 0;                                         ///< around the operators, for each batch
  std::map<std::string, double, std::less<>> per_update = {};  ///< for each trained element, by update_key
  double per_clipped = 0;                                      ///< the same where gradients are clipped, on top
  /// While passes were measured, not in picoseconds: the mean, 0 where it was not measured; and of the classes of what
  /// computes (class_of) that have their own. No file keeps them.
  double watts = 0;
  std::map<std::string, double, std::less<>> watts_of = {};

  friend bool operator==(const OperatorTimes&, const OperatorTimes&) = default;
};

/// What computes alike, and so draws about the same power: "products" of matrices, "attention", "updates" of weights,
/// and "elementwise", which are all other operators. `kind`: of an operator.
inline std::string_view class_of(std::string_view kind) {
  if (kind == "linear" || kind == "expert" || kind == "fused_experts" || kind == "cross_entropy_head")
    return "products";
  return kind == "attention" || kind == "fused_attention" ? "attention" : "elementwise";
}

/// Times in which a class that draws more power than the mean takes longer by as much: multiplied by the mean, which
/// they require, they are joules.
inline OperatorTimes at_mean_power(OperatorTimes times) {
  const auto factor = [&](std::string_view work) {
    const auto own = times.watts_of.find(work);
    return own == times.watts_of.end() ? 1.0 : own->second / times.watts;
  };
  for (auto& [key, time] : times.parts) {
    const double power = factor(class_of(std::string_view(key).substr(0, key.find(' '))));
    time = {.per_unit = time.per_unit * power, .per_pass = time.per_pass * power};
  }
  for (auto& [key, time] : times.per_update) time *= factor("updates");
  times.per_clipped *= factor("updates");
  return times;
}

/// The key of an optimizer's update: what it computes and what it reads for each element.
inline std::string update_key(Flops flops_per_element, Bytes state_bytes_per_element) {
  return text(flops_per_element, " FLOPs ", state_bytes_per_element, " bytes of state");
}

/// One measurement of a part.
struct PartSample {
  double units = 0;  ///< of its size
  double seconds = 0;
};

/// The line through the medians of measurements of equal size, none of its two numbers below 0, with the least sum of
/// squared relative errors. Requires a sample.
inline PartTime fit_part_time(const std::vector<PartSample>& samples) {
  std::map<double, std::vector<double>> by_size;
  for (const PartSample& sample : samples) by_size[sample.units].push_back(std::max(1e3, 1e12 * sample.seconds));
  // With weights w = 1 / t^2: the normal equations of slope and constant.
  double uu = 0, u = 0, one = 0, ut = 0, t = 0;
  for (auto& [units, times] : by_size) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    const double weight = 1 / (*middle * *middle);
    uu += weight * units * units;
    u += weight * units;
    one += weight;
    ut += weight * units * *middle;
    t += weight * *middle;
  }
  const double determinant = uu * one - u * u;
  PartTime line;
  if (by_size.size() > 1 && determinant > 0)
    line = {.per_unit = (ut * one - u * t) / determinant, .per_pass = (uu * t - u * ut) / determinant};
  else
    line = {.per_unit = ut / uu};
  if (line.per_unit < 0) return {.per_pass = t / one};
  if (line.per_pass < 0) return {.per_unit = ut / uu};
  return line;
}

}  // namespace greentrainer
