#pragma once

#include <concepts>
#include <string_view>

#include "greentrainer/core/workload.hpp"

namespace greentrainer {

/// Prices a graph: the forward pass of each operator and each part of its backward pass, as amounts per unit of
/// workload.
template <class C, class Graph>
concept CostModel = requires(const C cost, const Graph& graph, int id, int part) {
  { C::unit() } -> std::convertible_to<std::string_view>;
  { cost.forward(graph, id) } -> std::same_as<LinearCost>;
  { cost.part(graph, id, part) } -> std::same_as<LinearCost>;
};

}  // namespace greentrainer
