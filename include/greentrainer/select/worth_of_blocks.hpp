#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/select/budgeted_selection.hpp"

namespace greentrainer {

/// For each parameter, which of the prefixes its name begins with (see ModelFacts::layer_prefixes), so the transformer
/// block that it is of; -1 for none, and for one that several operators share: those are blocks of their own.
template <class P>
std::vector<int> blocks_of(const TensorGraph<P>& graph, std::span<const std::string> prefixes) {
  std::vector<int> blocks(graph.parameters().size(), -1);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string& name = graph.parameters()[i].name;
    if (graph.uses(static_cast<ParameterId>(i)).size() > 1) continue;
    const auto found = std::find_if(prefixes.begin(), prefixes.end(),
                                    [&](const std::string& prefix) { return name.starts_with(prefix); });
    if (found != prefixes.end()) blocks[i] = static_cast<int>(found - prefixes.begin());
  }
  return blocks;
}

/// For Worth::Form::saturating: what the blocks of a problem have in importance, on average; a block of which all is
/// chosen is then worth about 63% of what it would be if importances added up.
inline double usual_worth_scale(const GradientDag& dag) {
  std::map<int, double> blocks;
  int own = -1;  // and downwards: blocks of single items
  for (const auto& item : dag.items) {
    if (item.frozen || item.importance <= 0) continue;
    blocks[item.block >= 0 ? item.block : own--] += item.importance;
  }
  double sum = 0;
  for (const auto& [block, importance] : blocks) sum += importance;
  return sum > 0 ? sum / static_cast<double>(blocks.size()) : 1;
}

/// A selector of which each of the graph's blocks (see blocks_of) has this worth; for additive worth, as it is.
/// Saturating worth has the usual scale.
template <class P>
SelectFunction with_worth(const TensorGraph<P>& graph, std::span<const std::string> prefixes, Worth::Form form,
                          SelectFunction select) {
  if (form == Worth::Form::additive) return select;
  return [blocks = blocks_of(graph, prefixes), form, select = std::move(select)](SelectionProblem problem) {
    for (std::size_t i = 0; i < blocks.size(); ++i) problem.dag.items[i].block = blocks[i];
    problem.dag.worth = {.form = form, .scale = usual_worth_scale(problem.dag)};
    return select(problem);
  };
}

}  // namespace greentrainer
