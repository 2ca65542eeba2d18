#include "plan_prices.hpp"

#include <algorithm>
#include <limits>

#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"

namespace greentrainer::program {

PlanReport price_exactly(const PlanGraph& graph, const Workload& workload) {
  const ExactCost<PlanPolicy> cost;
  PlanReport report;
  report.unit = ExactCost<PlanBackend>::unit();
  report.forward = evaluate(forward_cost(graph, cost), workload);
  for (const Parameter& p : graph.parameters()) report.tensors.push_back({p.name, p.shape});
  const PassPlan plan = training_plan(graph, select_all(graph));
  report.backward = evaluate(pass_cost(graph, plan, cost).backward, workload);

  std::vector<BitSet> parts(graph.operators().size(), 0);
  for (const auto& step : plan.steps) parts[static_cast<std::size_t>(step.op)] |= step.parts;
  for (OperatorId id = 0; id < static_cast<OperatorId>(graph.operators().size()); ++id) {
    const auto& node = graph.op(id);
    std::int64_t grad_input = 0;
    for (std::size_t p = 0; p < node.op->parts().size(); ++p) {
      if (((parts[static_cast<std::size_t>(id)] >> p) & 1U) == 0) continue;
      const GradPart& part = node.op->parts()[p];
      const std::int64_t price = evaluate(cost.part(graph, id, static_cast<int>(p)), workload);
      if (part.kind != GradPart::Kind::parameter)
        grad_input += price;
      else
        report.tensors[static_cast<std::size_t>(node.parameters[static_cast<std::size_t>(part.index)])].grad_weight +=
            price;
    }
    if (node.parameters.empty())
      report.operators.push_back({node.name, evaluate(cost.forward(graph, id), workload), grad_input});
    else
      report.tensors[static_cast<std::size_t>(node.parameters.front())].grad_input += grad_input;
  }

  report.cheapest = cheapest_item(gradient_dag_of(graph, cost, workload));
  return report;
}

PlanReport price_as_published(const PlanGraph& graph, const PaperCost& cost) {
  PlanReport report;
  report.unit = "multiply-adds";
  report.forward = cost.forward();
  report.backward = (CheckedInteger(cost.grad_input()) + cost.grad_weight()).value();
  report.cheapest = std::numeric_limits<std::int64_t>::max();
  std::int64_t above = 0;
  for (std::size_t i = cost.tensors.size(); i-- > 0;) {
    report.cheapest = std::min(report.cheapest, above + cost.tensors[i].grad_weight);
    above += cost.tensors[i].grad_input;
  }
  report.full = report.total();
  for (std::size_t i = 0; i < cost.tensors.size(); ++i) {
    report.tensors.push_back(
        {cost.tensors[i].name, graph.parameters()[i].shape, cost.tensors[i].grad_input, cost.tensors[i].grad_weight});
  }
  return report;
}

}  // namespace greentrainer::program
