#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/select/chain_problem.hpp"

namespace greentrainer {

/// The recursion published with GreenTrainer (Huang et al., "Towards Green AI in Fine-tuning Large Language Models via
/// Adaptive Backpropagation", arXiv 2309.13192, and its public code), for comparison, faults included: it prices the
/// deepest member's own grad_input, loses feasible states, never looks at the last tensors, and rounds costs down, so
/// that the true cost may exceed the budget.
struct PaperSelector {
  std::int64_t budget_steps =
      1000;  ///< the paper's T_q: the cost of everything, not the budget, is divided into so many steps

  /// Costs become floor(cost x T_q / sum of all costs), the budget floor(rho x sum of these) with rho = budget / sum of
  /// all costs. A problem that comes in whole numbers summing to T_q or less is taken as it is, as the paper's sample
  /// is. Importances need no normalising: the recursion's choice does not depend on their scale. `cost` is true, in the
  /// problem's unit; `optimal` is false. Throws ConfigError as validate(), and if budget_steps is not in [1, 2^20] or
  /// times n exceeds 2^27. O(n^2 x T_q) time at worst, O(n x T_q) memory.
  ChainSelection select(const ChainProblem& chain) const;

  /// The recursion itself, on whole costs and budget; returns the mask.
  static std::vector<bool> recursion(const std::vector<std::int64_t>& grad_input,
                                     const std::vector<std::int64_t>& grad_weight,
                                     const std::vector<double>& importance, std::int64_t budget);
};

inline ChainSelection PaperSelector::select(const ChainProblem& chain) const {
  validate(chain);
  if (budget_steps < 1 || budget_steps > (std::int64_t{1} << 20)) {
    throw ConfigError("paper_selector", "budget_steps", text("expected 1 to 2^20, got ", budget_steps));
  }
  const std::size_t n = chain.grad_weight.size();
  const double steps = static_cast<double>(budget_steps);
  double total = 0;
  bool whole = true;
  for (std::size_t k = 0; k < n; ++k) {
    total += chain.grad_weight[k] + chain.grad_input[k];
    whole = whole && std::floor(chain.grad_weight[k]) == chain.grad_weight[k] &&
            std::floor(chain.grad_input[k]) == chain.grad_input[k];
  }
  if (!(total > 0) || std::isinf(total)) {
    // Nothing to weigh: no scale exists, and the published code divides by zero.
    return make_chain_selection(chain, std::vector<bool>(n, false));
  }
  constexpr std::int64_t most_states = std::int64_t{1} << 27;  // of 12 bytes each
  if (budget_steps > most_states / static_cast<std::int64_t>(n)) {
    throw ConfigError("paper_selector", "budget_steps",
                      text("expected at most ", most_states / static_cast<std::int64_t>(n), " for ", n,
                           " tensors, which takes 1.5 GiB, got ", budget_steps));
  }
  const double scale = whole && total <= steps ? 1.0 : steps / total;
  std::vector<std::int64_t> grad_input(n);
  std::vector<std::int64_t> grad_weight(n);
  std::int64_t quantised_total = 0;
  for (std::size_t k = 0; k < n; ++k) {
    grad_input[k] = static_cast<std::int64_t>(std::floor(chain.grad_input[k] * scale));
    grad_weight[k] = static_cast<std::int64_t>(std::floor(chain.grad_weight[k] * scale));
    quantised_total += grad_input[k] + grad_weight[k];
  }
  const double share = std::fmin(chain.budget / total, 1.0);
  const double limit = scale == 1.0 ? std::fmin(chain.budget, total) : share * static_cast<double>(quantised_total);
  return make_chain_selection(chain,
                              recursion(grad_input, grad_weight, chain.importance, static_cast<std::int64_t>(limit)));
}

inline std::vector<bool> PaperSelector::recursion(const std::vector<std::int64_t>& grad_input,
                                                  const std::vector<std::int64_t>& grad_weight,
                                                  const std::vector<double>& importance, std::int64_t budget) {
  const std::size_t n = grad_weight.size();
  std::vector<bool> mask(n, false);
  if (n == 0 || budget < 0) return mask;
  const auto width = static_cast<std::size_t>(budget) + 1;
  std::size_t last = n - 1;
  for (std::size_t k = 0, above = 0; k < n; ++k) {
    above += static_cast<std::size_t>(grad_input[k]);
    if (above >= width) {
      last = k;
      break;
    }
  }

  // Row k, entry t: the most importance among the first k tensors at cost t (the paper's L), minus infinity in
  // `reached` where the paper's flag S says that tensor k - 1 was not selected there. The published loops run over all
  // p for each t; here over all t for each p, the same comparisons in the same order for each entry, but along arrays.
  // Masks are read back from where each entry came from.
  constexpr double never = -std::numeric_limits<double>::infinity();
  constexpr std::int32_t skipped = -1;
  std::vector<std::vector<double>> reached;
  std::vector<std::vector<std::int32_t>> origin(last + 1);
  reached.emplace_back(width, 0.0);
  std::vector<double> value(width, 0.0);
  double best = never;
  std::size_t best_k = 0;
  std::size_t best_t = 0;
  for (std::size_t k = 1; k <= last; ++k) {
    std::vector<std::int32_t>& from = origin[k];
    from.assign(width, skipped);
    const double gain = importance[k - 1];
    auto shift = static_cast<std::size_t>(grad_weight[k - 1]);
    for (std::size_t p = k; p-- > 0;) {
      shift += static_cast<std::size_t>(grad_input[p]);
      if (shift >= width) break;
      const double* source = reached[p].data();
      const auto number = static_cast<std::int32_t>(p);
      for (std::size_t t = shift; t < width; ++t) {
        const double candidate = source[t - shift] + gain;
        from[t] = candidate > value[t] ? number : from[t];
        value[t] = candidate > value[t] ? candidate : value[t];
      }
    }
    reached.emplace_back(width);
    for (std::size_t t = 0; t < width; ++t) {
      reached[k][t] = from[t] == skipped ? never : value[t];
      if (value[t] > best) {
        best = value[t];
        best_k = k;
        best_t = t;
      }
    }
  }

  for (std::size_t k = best_k, t = best_t; k > 0;) {
    const std::int32_t from = origin[k][t];
    if (from == skipped) {
      --k;
      continue;
    }
    mask[k - 1] = true;
    t -= static_cast<std::size_t>(grad_weight[k - 1]);
    for (std::size_t p = static_cast<std::size_t>(from); p < k; ++p) t -= static_cast<std::size_t>(grad_input[p]);
    k = static_cast<std::size_t>(from);
  }
  return mask;
}

}  // namespace greentrainer
