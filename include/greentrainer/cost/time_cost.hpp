#pragma once

#include <cmath>
#include <memory>
#include <string_view>
#include <utility>

#include "greentrainer/cost/part_size.hpp"

namespace greentrainer {

/// Time as measured, in picoseconds: a cost model for selectors and budgets.
template <class P>
class TimeCost {
 public:
  static constexpr std::string_view unit() { return "ps"; }

  explicit TimeCost(std::shared_ptr<const OperatorTimes> times) : times_(std::move(times)) {}

  /// Both throw ConfigError naming an operator whose time is not known.
  LinearCost forward(const TensorGraph<P>& graph, OperatorId id) const { return price(graph, id, forward_part); }
  LinearCost part(const TensorGraph<P>& graph, OperatorId id, int part) const { return price(graph, id, part); }

 private:
  LinearCost price(const TensorGraph<P>& graph, OperatorId id, int part) const {
    LinearCost cost = part_size(graph, id, part);
    if (cost == LinearCost{}) return cost;
    const auto known = times_->parts.find(part_key(graph, id, part));
    if (known == times_->parts.end())
      throw ConfigError("TimeCost", graph.op(id).name,
                        "expected an operator that was measured, got another; calibrate "
                        "with this model");
    for (std::int64_t& amount : cost.values) amount = whole(static_cast<double>(amount) * known->second.per_unit);
    cost[Measure::steps] += whole(known->second.per_pass);
    return cost;
  }
  static std::int64_t whole(double picoseconds) {
    if (!(picoseconds < 9e18))
      throw ConfigError("TimeCost", "times", text("expected less than 9e18 ps for a row, got ", picoseconds));
    return static_cast<std::int64_t>(std::llround(picoseconds));
  }

  std::shared_ptr<const OperatorTimes> times_;
};

}  // namespace greentrainer
