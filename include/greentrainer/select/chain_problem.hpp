#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/selection_problem.hpp"

namespace greentrainer {

/// The paper's problem: tensors in a row, the one nearest to the loss first. A selection costs the grad_weight of its
/// members and the grad_input of all tensors before the deepest member. Costs in any unit, not necessarily whole.
struct ChainProblem {
  std::vector<double> grad_input = {};   ///< the paper's t_dy: passing the gradient on to the next tensor
  std::vector<double> grad_weight = {};  ///< the paper's t_dw
  std::vector<double> importance = {};   ///< the paper's I
  double budget = 0;                     ///< the paper's rho x sum of all costs
};

/// A choice on a chain.
struct ChainSelection {
  std::vector<bool> mask = {};
  double importance = 0;
  double cost = 0;
  bool optimal = false;                                    ///< as in SelectionResult
  double bound = std::numeric_limits<double>::infinity();  ///< as in SelectionResult
};

/// Throws ConfigError unless the three lists are of one length, costs and budget are finite and not negative, and
/// importances are finite.
inline void validate(const ChainProblem& chain) {
  const std::size_t n = chain.grad_weight.size();
  const auto check = [](const char* name, const std::vector<double>& values, std::size_t length, bool cost) {
    if (values.size() != length) {
      throw ConfigError("chain_problem", name,
                        text("expected ", length, " entries as in grad_weight, got ", values.size()));
    }
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (!std::isfinite(values[k]) || (cost && values[k] < 0)) {
        throw ConfigError("chain_problem", text(name, " ", k),
                          text("expected a finite number", cost ? " of 0 or more" : "", ", got ", values[k]));
      }
    }
  };
  check("grad_weight", chain.grad_weight, n, true);
  check("grad_input", chain.grad_input, n, true);
  check("importance", chain.importance, n, false);
  if (!std::isfinite(chain.budget) || chain.budget < 0) {
    throw ConfigError("chain_problem", "budget", text("expected a finite number of 0 or more, got ", chain.budget));
  }
}

/// The chain's mask with what it is worth and costs, nothing proved. Throws ConfigError if the mask has another length.
/// O(n).
inline ChainSelection make_chain_selection(const ChainProblem& chain, std::vector<bool> mask) {
  if (mask.size() != chain.grad_weight.size()) {
    throw ConfigError("chain_problem", "mask",
                      text("expected ", chain.grad_weight.size(), " entries, got ", mask.size()));
  }
  ChainSelection selection;
  // Wider than double, so that a cost within the budget is not reported above it.
  long double above = 0;
  long double cost = 0;
  long double weights = 0;
  for (std::size_t k = 0; k < mask.size(); ++k) {
    if (mask[k]) {
      weights += static_cast<long double>(chain.grad_weight[k]);
      cost = above + weights;
      selection.importance += chain.importance[k];
    }
    above += static_cast<long double>(chain.grad_input[k]);
  }
  selection.cost = static_cast<double>(cost);
  selection.mask = std::move(mask);
  return selection;
}

/// Which way costs are rounded to whole numbers: so that what fits into the rounded budget fits into the true one
/// (costs up, the budget down), or the other way round.
enum class ChainRounding { up, down };

/// The chain as a gradient DAG: node k is grad_input of tensor k and needs node k - 1, item k needs node k - 1. Costs
/// are scaled by a power of two to whole numbers, as fine as 62 bits allow. Whole numbers (and halves, quarters, ...)
/// stay exact, both ways. Throws ConfigError as validate(). O(n).
inline SelectionProblem to_selection_problem(const ChainProblem& chain, ChainRounding rounding = ChainRounding::up) {
  validate(chain);
  double total = 0;
  for (std::size_t k = 0; k < chain.grad_weight.size(); ++k) total += chain.grad_weight[k] + chain.grad_input[k];
  if (!std::isfinite(total))
    throw ConfigError("chain_problem", "costs", "expected a finite sum, got infinity; use a larger unit");
  // A budget beyond the total is no restriction; cut, it fits into the same range.
  const double budget = std::fmin(chain.budget, 2 * total);
  int exponent = 0;
  std::frexp(std::fmax(total, budget), &exponent);  // both are below 2^exponent
  const int shift = 60 - exponent;
  const auto whole = [shift](double value, bool up) {
    const double scaled = std::ldexp(value, shift);
    return static_cast<std::int64_t>(up ? std::ceil(scaled) : std::floor(scaled));
  };
  const bool up = rounding == ChainRounding::up;

  SelectionProblem problem;
  problem.budget = whole(budget, !up);
  for (std::size_t k = 0; k < chain.grad_weight.size(); ++k) {
    const std::vector<int> above = k == 0 ? std::vector<int>{} : std::vector<int>{static_cast<int>(k) - 1};
    problem.dag.items.push_back({whole(chain.grad_weight[k], up), chain.importance[k], above});
    problem.dag.nodes.push_back({whole(chain.grad_input[k], up), above});
  }
  return problem;
}

/// A selector's choice on a chain, priced in the chain's own unit. What the selector proves of costs rounded up is
/// proved of those that are given where it proves it of costs rounded down, too. Throws ConfigError as validate().
/// Cost: the selector's, twice where costs were rounded.
template <Selector S>
ChainSelection select_on_chain(const S& selector, const ChainProblem& chain) {
  SelectionProblem problem = to_selection_problem(chain);
  SelectionResult result = selector.select(problem);
  ChainSelection selection = make_chain_selection(chain, std::move(result.mask));
  if (std::isinf(result.bound)) return selection;
  selection.bound = result.bound;
  selection.optimal = result.optimal;
  const SelectionProblem relaxed = to_selection_problem(chain, ChainRounding::down);
  if (relaxed.dag == problem.dag) return selection;  // of whole costs, none lies between the budget and its floor
  selection.bound = std::max(selection.importance, selector.select(relaxed).bound);
  selection.optimal = result.optimal && selection.bound <= selection.importance * (1 + importance_tolerance);
  if (selection.optimal) selection.bound = selection.importance;
  return selection;
}

}  // namespace greentrainer
