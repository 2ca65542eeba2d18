// What a budget promises and what is spent, by what selection knows of the gradients that tensors need: the graph, the
// paper's chain at exact prices, nothing, and the published rules with the published recursion. From each config.json
// alone.
//   build/native/bin/budget_kept CONFIG_FOLDER...
// Batches of 4 x 512 tokens, all labelled, as the published rules have them (T5: 512 in, 64 out). Means over made-up
// importances; `spent` is forward and backward as executed, of full fine-tuning; `importance` that of the selection, of
// what the exact one has within the budget.

#include <algorithm>
#include <cstdio>
#include <greentrainer/cost/exact_cost.hpp>
#include <greentrainer/select/budgeted_selection.hpp>
#include <greentrainer/select/chain_problem.hpp>
#include <greentrainer/select/dependencies.hpp>
#include <greentrainer/select/paper_selector.hpp>
#include <iostream>
#include <optional>

#include "model_shapes.hpp"

namespace {

namespace gt = greentrainer;

struct Costs {};  // the operators' own, which are those of the Eigen backend
using Graph = gt::TensorGraph<Costs>;

constexpr gt::Extent target_tokens = 64;
constexpr int draws = 20;

template <class Architecture>
std::optional<gt::PaperCost> published_prices(const Architecture& architecture) {
  if constexpr (requires { architecture.paper_cost(4, 512, target_tokens); })
    return architecture.paper_cost(4, 512, target_tokens);
  else if constexpr (requires { architecture.paper_cost(4, 512); })
    return architecture.paper_cost(4, 512);
  else
    return std::nullopt;
}

gt::SelectionResult select_as_published(const gt::PaperCost& prices, const std::vector<double>& importance,
                                        double rho) {
  gt::ChainProblem chain;
  for (std::size_t i = prices.tensors.size(); i-- > 0;) {
    chain.grad_input.push_back(static_cast<double>(prices.tensors[i].grad_input));
    chain.grad_weight.push_back(static_cast<double>(prices.tensors[i].grad_weight));
    chain.importance.push_back(importance[i]);
  }
  const auto forward = static_cast<double>(prices.forward());
  chain.budget =
      rho * (forward + static_cast<double>(prices.grad_input()) + static_cast<double>(prices.grad_weight())) - forward;
  auto mask = gt::PaperSelector{}.select(chain).mask;
  std::reverse(mask.begin(), mask.end());
  return {.mask = mask, .importance = 0, .cost = 0, .optimal = false};
}

struct Spent {
  double sum = 0, most = 0, importance = 0;
};

/// Prints a line for each of what may be known. Throws ConfigError where the budget is below the forward pass and the
/// cheapest tensor.
void report(const std::string& name, const Graph& graph, const gt::Workload& workload,
            const std::optional<gt::PaperCost>& prices, double rho) {
  const char* names[] = {"graph", "chain", "nothing", "published"};
  const std::size_t count = prices ? 4 : 3;
  Spent spent[4];
  for (int draw = 0; draw < draws; ++draw) {
    const auto importance = gt::made_up_importance(graph.parameters().size(), static_cast<std::uint64_t>(draw));
    const gt::SelectFunction selects[] = {
        [](const gt::SelectionProblem& problem) { return gt::ExactSelector{}.select(problem); },
        [&](const gt::SelectionProblem& problem) {
          return gt::ExactSelector{}.select(gt::with_chain_dependencies(graph, problem));
        },
        [](const gt::SelectionProblem& problem) {
          return gt::ExactSelector{}.select(gt::without_dependencies(problem));
        },
        [&](const gt::SelectionProblem&) { return select_as_published(*prices, importance, rho); }};
    double best = 0;
    for (std::size_t s = 0; s < count; ++s) {
      const auto chosen = gt::select_within_ratio(graph, gt::ExactCost<Costs>{}, workload, importance, rho, selects[s]);
      double worth = 0;
      for (std::size_t i = 0; i < importance.size(); ++i) worth += chosen.selection.mask()[i] ? importance[i] : 0;
      if (s == 0) best = worth;
      spent[s].sum += chosen.ratio() / draws;
      spent[s].most = std::max(spent[s].most, chosen.ratio());
      spent[s].importance += worth / best / draws;
    }
  }
  for (std::size_t s = 0; s < count; ++s) {
    std::printf("| %s | %.1f | %s | %.4f | %.4f | %.3f |\n", name.c_str(), rho, names[s], spent[s].sum, spent[s].most,
                spent[s].importance);
  }
}

template <class Architecture>
void report(const std::string& name, const Architecture& architecture) {
  constexpr bool has_targets = requires { architecture.target_shift(); };
  const gt::Workload workload =
      gt::workload_for(architecture, {.sequences = 4, .tokens = 512, .labelled = has_targets ? target_tokens : 512});
  for (const double rho : {0.4, 0.5, 0.7}) {
    try {
      report(name, architecture.template graph<Costs>(), workload, published_prices(architecture), rho);
    } catch (const gt::ConfigError&) {
      std::printf("| %s | %.1f | graph | not feasible | | |\n", name.c_str(), rho);
    }
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::cerr << "budget_kept CONFIG_FOLDER...\n";
    return 2;
  }
  std::puts("| model | promised | known | spent | at most | importance |\n| --- | ---: | --- | ---: | ---: | ---: |");
  gt::for_each_model({argv + 1, argv + argc},
                     [](const std::string& name, const auto& architecture) { report(name, architecture); });
  return 0;
} catch (const greentrainer::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
