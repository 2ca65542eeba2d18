#include "plan_choice.hpp"

#include <algorithm>
#include <cmath>

#include "console.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/limited_selection.hpp"
#include "greentrainer/select/paper_selector.hpp"
#include "greentrainer/select/worth_of_blocks.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

namespace {

/// The report's tensors from the last to the first, as a chain.
ChainProblem chain_of(const PlanReport& report, const std::vector<double>& importance, double budget) {
  ChainProblem chain{.grad_input = {}, .grad_weight = {}, .importance = {}, .budget = budget};
  for (std::size_t i = report.tensors.size(); i-- > 0;) {
    chain.grad_input.push_back(static_cast<double>(report.tensors[i].grad_input));
    chain.grad_weight.push_back(static_cast<double>(report.tensors[i].grad_weight));
    chain.importance.push_back(importance[i]);
  }
  return chain;
}

Selection from_chain(std::vector<bool> mask) {
  std::reverse(mask.begin(), mask.end());
  return Selection(std::move(mask));
}

SelectFunction selector_of(const PlanReport& report, const std::vector<double>& importance,
                           const PlanOptions& options) {
  if (options.selector == "ratio")
    return [](const SelectionProblem& problem) { return ImportancePerFlopSelector{}.select(problem); };
  if (options.selector == "paper") {
    return [&](const SelectionProblem& problem) {
      const auto chosen = PaperSelector{}.select(chain_of(report, importance, static_cast<double>(problem.budget)));
      return SelectionResult{
          .mask = from_chain(chosen.mask).mask(), .importance = chosen.importance, .cost = 0, .optimal = false};
    };
  }
  return [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
}

/// Importances by tensor from a JSON object, 0 where it names none. Throws ConfigError for names that the graph does
/// not have and for values that are no finite numbers.
std::vector<double> read_importance(const std::string& path, const PlanGraph& graph) {
  const Json json = read_json_file(path, Bytes{256} << 20, FileKind::any);
  if (!json.is_object())
    throw ConfigError("plan", path,
                      text("expected a JSON object from tensor name to importance, got ", json.type_name()));
  std::vector<double> importance(graph.parameters().size(), 0.0);
  for (const auto& [name, value] : json.items()) {
    const auto id = graph.find(name);
    if (!id) {
      std::vector<std::string> names;
      for (const Parameter& p : graph.parameters()) names.push_back(p.name);
      std::string near = suggestion(name, names);
      if (!near.starts_with("; did")) near = text("; e.g. ", names.front());
      throw ConfigError("plan", text(path, ", key \"", name, "\""),
                        text("expected the name of a tensor, got an unknown one", near));
    }
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      throw ConfigError("plan", text(path, ", key \"", name, "\""),
                        text("expected a finite number, got ", value.dump().substr(0, 40)));
    }
    importance[static_cast<std::size_t>(*id)] = value.get<double>();
  }
  return importance;
}

/// Chooses on the graph, at exact prices, and within the memory limit. `cut`: where cached values begin, if they pay.
MemoryLimit<PlanPolicy>::Pass select_exactly(PlanReport& report, const PlanGraph& graph, const PlanBounds& bounds,
                                             const std::vector<double>& importance, const PlanOptions& options,
                                             std::optional<Cut>& cut) {
  const ExactCost<PlanPolicy> cost;
  const SelectFunction select = with_worth(graph, bounds.facts.layer_prefixes, parse_worth(options.worth),
                                           selector_of(report, importance, options));
  const Selection frozen = select_listed(graph, options.freeze, "freeze");
  const auto choose = [&](const std::vector<double>& worth, double ratio, bool cached) {
    return select_within_ratio(graph, cost, bounds.coming, worth, ratio, select,
                               {.full = bounds.full,
                                .forecasts = cached ? bounds.forecasts : std::span<const CutForecast>(),
                                .frozen = frozen});
  };
  const auto price = [&](const MemoryLimit<PlanPolicy>::Pass& pass) {
    return evaluate(pass_cost(graph, pass.plan, cost).recomputed, bounds.coming);
  };
  const auto excess = [&](const Selection& selection, const std::optional<Cut>& at) {
    return bounds.memory.excess(bounds.memory.importance(bounds.metric, selection, at));
  };
  auto chosen = select_within_memory(graph, bounds.memory, importance, options.rho, choose, price, excess);
  report.selection = chosen.chosen.selection;
  cut = chosen.chosen.cut;
  return std::move(chosen.pass);
}

/// Chooses on the chain of the paper's prices; by the paper's recursion unless another selector is asked for.
void select_on_published_chain(PlanReport& report, const std::vector<double>& importance, const PlanOptions& options) {
  const double budget =
      std::floor(options.rho * static_cast<double>(report.total())) - static_cast<double>(report.forward);
  if (budget < static_cast<double>(report.cheapest)) {
    throw InfeasibleRatio(options.rho, std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4);
  }
  const ChainProblem chain = chain_of(report, importance, budget);
  if (options.selector == "exact")
    report.selection = from_chain(select_on_chain(ExactSelector{}, chain).mask);
  else if (options.selector == "ratio")
    report.selection = from_chain(select_on_chain(ImportancePerFlopSelector{}, chain).mask);
  else
    report.selection = from_chain(PaperSelector{}.select(chain).mask);
}

/// On the chain: weight gradients of the selection, and what passes the gradient down to the first selected tensor.
std::int64_t published_cost(const PlanReport& report, const Selection& selection) {
  std::int64_t cost = 0, weights = 0, above = 0;
  for (std::size_t i = report.tensors.size(); i-- > 0;) {
    if (selection.mask()[i]) {
      weights += report.tensors[i].grad_weight;
      cost = weights + above;
    }
    above += report.tensors[i].grad_input;
  }
  return cost;
}

}  // namespace

PlannedPass plan_pass(PlanReport& report, const PlanGraph& graph, const PlanBounds& bounds,
                      const PlanOptions& options) {
  const bool published = options.cost_model == "paper";
  if (bounds.memory_limit > 0 && options.rho > 0) {
    const Bytes least = bounds.memory.importance(bounds.metric, select_none(graph), {}).memory.total();
    if (least > bounds.memory_limit)
      throw InfeasibleMemory("plan", bounds.memory_limit, least, "the evaluation of importances");
  }
  std::optional<Cut> cut;
  MemoryLimit<PlanPolicy>::Pass pass;
  if (options.rho > 0) {
    const auto importance = read_importance(options.importance, graph);
    if (published)
      select_on_published_chain(report, importance, options);
    else
      pass = select_exactly(report, graph, bounds, importance, options, cut);
  }
  Selection trained = report.selection.value_or(select_all(graph));
  if (pass.plan.steps.empty()) {
    cut = best_cut(graph, ExactCost<PlanPolicy>{}, bounds.coming, bounds.forecasts, trained);
    pass = bounds.memory.training(trained, cut);
    if (bounds.memory.excess(pass) > 0 && cut) pass = bounds.memory.training(trained, cut = std::nullopt);
  }
  if (bounds.memory.excess(pass) > 0)
    throw InfeasibleMemory("plan", bounds.memory_limit, pass.memory.total(), "training");
  if (report.selection) {
    report.selection_cost =
        published ? published_cost(report, *report.selection)
                  : evaluate(backward_cost(graph, *report.selection, ExactCost<PlanPolicy>{}), bounds.workload);
  }
  return {std::move(trained), std::move(pass), cut};
}

void freeze(PlanReport& report, const PlanGraph& graph, const Workload& workload, const PlanOptions& options) {
  Selection trained = without_frozen(graph, report.selection.value_or(select_all(graph)), options.freeze);
  if (options.rho == 0) report.selection = std::move(trained);
  GradientDag dag = gradient_dag_of(graph, ExactCost<PlanPolicy>{}, workload);
  const Selection frozen = select_listed(graph, options.freeze, "freeze");
  for (std::size_t i = 0; i < dag.items.size(); ++i) dag.items[i].frozen = frozen.mask()[i];
  report.cheapest = cheapest_item(dag);
}

}  // namespace greentrainer::program
