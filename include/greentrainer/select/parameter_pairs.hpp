#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// Two parameters that are trained together or not at all, such as LoRA's matrices of a layer.
using ParameterPair = std::pair<ParameterId, ParameterId>;

/// Makes one item of two, items being numbered as parameters: the second has the costs, importances and needs of both,
/// the first is frozen. No parameter may be in two pairs.
inline void join_pairs(GradientDag& dag, std::span<const ParameterPair> pairs) {
  for (const auto& [one, other] : pairs) {
    GradientDag::Item& first = dag.items[static_cast<std::size_t>(one)];
    GradientDag::Item& both = dag.items[static_cast<std::size_t>(other)];
    both.cost += first.cost;
    both.importance += first.importance;
    both.needs.insert(both.needs.end(), first.needs.begin(), first.needs.end());
    std::sort(both.needs.begin(), both.needs.end());
    both.needs.erase(std::unique(both.needs.begin(), both.needs.end()), both.needs.end());
    first.frozen = true;
  }
}

/// Of a choice among joined items: the first of a pair is chosen where the second is.
inline void take_pairs_apart(std::vector<bool>& mask, std::span<const ParameterPair> pairs) {
  for (const auto& [one, other] : pairs) mask[static_cast<std::size_t>(one)] = mask[static_cast<std::size_t>(other)];
}

}  // namespace greentrainer
