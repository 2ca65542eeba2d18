#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/core/error.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/cost/price_table.hpp"
#include "greentrainer/graph/selection.hpp"
#include "greentrainer/select/exact_selector.hpp"
#include "greentrainer/select/forward_levels.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "greentrainer/select/parameter_pairs.hpp"

namespace greentrainer {

/// Any selector as a function.
using SelectFunction = std::function<SelectionResult(const SelectionProblem&)>;

/// The budget that a FLOPs ratio gives for a workload, and the selection made within it. Costs in the cost model's
/// unit.
struct BudgetedSelection {
  Selection selection = {};
  std::int64_t full = 0;     ///< forward and backward of full fine-tuning (T_full)
  std::int64_t in_full = 0;  ///< of that, what steps that train everything have spent before
  std::int64_t forward = 0;  ///< T_fp; less where the values at `cut` are cached
  std::int64_t budget = 0;   ///< for the backward pass: ratio * T_full - in_full - T_fp
  std::int64_t cost = 0;     ///< backward pass of the selection
  bool optimal = false;      ///< proved by the selector, at the costs as given
  double gap = 0;            ///< no choice is worth more by a larger share; infinite where the selector knows nothing
  std::optional<Cut> cut;    ///< the best of those forecast: the cheapest one below which nothing is trained

  double ratio() const { return static_cast<double>(in_full + forward + cost) / static_cast<double>(full); }
};

/// A share of a cost, rounded down.
inline std::int64_t within_ratio(double ratio, std::int64_t full) {
  return static_cast<std::int64_t>(std::floor(static_cast<long double>(ratio) * static_cast<long double>(full)));
}

/// A ratio that is too small even for the cheapest parameter.
class InfeasibleRatio : public ConfigError {
 public:
  InfeasibleRatio(double ratio, double smallest, bool with_steps_in_full = false)
      : ConfigError(
            "select_within_ratio", "flops_ratio",
            with_steps_in_full
                ? text("expected at least ", smallest,
                       ", for the step that trains everything and, in the others, the forward pass and the "
                       "cheapest tensor, got ",
                       ratio, "; select less often")
                : text("expected at least ", smallest, ", the forward pass and the cheapest tensor, got ", ratio)),
        smallest_(smallest) {}

  /// The smallest ratio that is feasible, rounded up to four digits.
  double smallest() const { return smallest_; }

 private:
  double smallest_;
};

/// What a choice is bound by beside its budget. Empty members bind nothing.
struct SelectionTerms {
  /// What the ratio is of, where the graph has more than the model that is fine-tuned in full; else the graph itself.
  std::optional<LinearCost> full = {};
  /// How cached values would shorten the forward passes, ascending; depth is then priced with them.
  std::span<const CutForecast> forecasts = {};
  /// Of steps that train everything, beside the workload; the ratio is of both, and pays for them.
  Workload in_full = {};
  /// What must not be chosen. A selector that chooses it is a ConfigError.
  Selection frozen = {};
  /// Inputs that no gradient goes through, whatever is chosen; the ratio stays one of the exact full fine-tuning.
  DetachedInputs detached = {};
  /// Parameters that are chosen together, see join_pairs; none of them may be frozen.
  std::span<const ParameterPair> pairs = {};
};

/// Chooses parameters such that forward plus backward cost at most `ratio` of full fine-tuning of the same workload.
/// Item i of the selector's problem is parameter i. Throws InfeasibleRatio if not even the cheapest parameter fits,
/// ConfigError for an importance or a mask without one entry for each parameter; NumericalError for an importance that
/// is not a number. A selector that overspends is not stopped: `cost` then exceeds `budget`.
template <class P, CostModel<TensorGraph<P>> C>
BudgetedSelection select_within_ratio(
    const TensorGraph<P>& graph, const C& cost, const Workload& workload, const std::vector<double>& importance,
    double ratio, const SelectFunction& select = [](const SelectionProblem& p) { return ExactSelector{}.select(p); },
    const SelectionTerms& terms = {}) {
  if (!(ratio > 0) || ratio > 1)
    throw ConfigError("select_within_ratio", "flops_ratio", text("expected more than 0 and at most 1, got ", ratio));
  const std::size_t parameters = graph.parameters().size();
  const auto one_each = [parameters](const char* what, std::size_t count) {
    if (count != parameters)
      throw ConfigError("select_within_ratio", what,
                        text("expected one entry for each of ", parameters, " parameters, got ", count));
  };
  one_each("importance", importance.size());
  const PriceTable<P, C> prices(graph, cost);
  SelectionProblem problem{gradient_dag_of(graph, prices, workload, terms.detached), 0};
  for (std::size_t i = 0; i < importance.size(); ++i) {
    if (!std::isfinite(importance[i])) {
      throw NumericalError("importance", graph.parameters()[i].name,
                           text("expected a finite importance, got ", importance[i], "; lower the learning rate"));
    }
    problem.dag.items[i].importance = importance[i];
    problem.dag.items[i].frozen = !terms.frozen.mask().empty() && terms.frozen.mask()[i];
  }
  join_pairs(problem.dag, terms.pairs);

  const std::vector<ForwardLevel> levels = forward_levels(graph, prices, workload, terms.forecasts);
  add_forward_levels(graph, std::span(levels), problem.dag);

  BudgetedSelection result;
  const LinearCost everything = full_fine_tuning_cost(graph, prices);
  result.full = evaluate(terms.full ? *terms.full : everything, workload + terms.in_full);
  result.in_full = evaluate(everything, terms.in_full);
  const std::int64_t both_passes = within_ratio(ratio, result.full);

  const std::int64_t cheapest = result.in_full + levels.back().cost + cheapest_item(problem.dag);
  if (both_passes < cheapest) {
    const double smallest = std::ceil(1e4 * static_cast<double>(cheapest) / static_cast<double>(result.full)) / 1e4;
    throw InfeasibleRatio(ratio, smallest, result.in_full > 0);
  }

  problem.budget = both_passes - result.in_full - levels.back().cost;
  SelectionResult chosen = select(problem);
  one_each("mask of the selector", chosen.mask.size());
  for (std::size_t i = 0; i < parameters; ++i) {
    if (chosen.mask[i] && problem.dag.items[i].frozen) {
      throw ConfigError("select_within_ratio", "mask of the selector",
                        text("expected none of the frozen parameters, got ", graph.parameters()[i].name));
    }
  }
  take_pairs_apart(chosen.mask, terms.pairs);
  result.selection = Selection(chosen.mask, terms.detached);
  result.cost = evaluate(backward_cost(graph, result.selection, prices), workload);
  result.optimal = chosen.optimal;
  result.gap = gap_of(chosen);
  const ForwardLevel& level = levels[level_of(std::span(levels), first_trained(graph, result.selection))];
  result.forward = level.cost;
  result.budget = both_passes - result.in_full - level.cost;
  result.cut = cut_of(level, terms.forecasts);
  return result;
}

}  // namespace greentrainer
