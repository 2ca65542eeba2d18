#include "plan_report.hpp"

#include "greentrainer/graph/detached_context.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/train/exact_gradients.hpp"
#include "option_values.hpp"
#include "plan_choice.hpp"
#include "plan_prices.hpp"
#include "planned_runs.hpp"

namespace greentrainer::program {

namespace {

template <class Architecture>
inline constexpr bool is_encoder_decoder = requires(const Architecture& architecture) {
  architecture.target_shift();
};

/// The batch that the options describe. An encoder-decoder's sequences are the targets, and --tokens those of their
/// sources.
template <class Architecture>
BatchOfSize planned_batch([[maybe_unused]] const PlanGraph& graph, const PlanOptions& options) {
  if constexpr (is_encoder_decoder<Architecture>) {
    return [&options, labelled = options.labelled_of(options.target_tokens, "--target-tokens")](Extent batch_size) {
      return uniform_workload(batch_size, options.target_tokens, labelled, options.tokens);
    };
  } else {
    return [&options, labelled = options.labelled_of(options.tokens, "--tokens"), window = graph.window()](
               Extent batch_size) { return uniform_workload(batch_size, options.tokens, labelled, 0, window); };
  }
}

/// The published prices. Throws ConfigError for an architecture without.
template <class Architecture>
PaperCost published_prices(const Architecture& architecture, const PlanOptions& options) {
  if constexpr (requires { architecture.paper_cost(options.batch_size, options.tokens, options.target_tokens); }) {
    return architecture.paper_cost(options.batch_size, options.tokens, options.target_tokens);
  } else if constexpr (requires { architecture.paper_cost(options.batch_size, options.tokens); }) {
    return architecture.paper_cost(options.batch_size, options.tokens);
  } else {
    throw ConfigError("plan", "--cost-model",
                      text("expected exact for model_type ", architecture.model_type,
                           ", got paper; there are published rules for opt, bloom and t5 alone"));
  }
}

/// Notes on options that the architecture does not use, and on sequences that it cannot read.
template <class Architecture>
void add_notes(PlanReport& report, const Architecture& architecture, const Command& command,
               const PlanOptions& options) {
  if (options.cost_model == "paper" && command.given("labelled-tokens"))
    report.notes.push_back("the published rules label every token; --labelled-tokens is not used");
  if (!is_encoder_decoder<Architecture> && command.given("target-tokens")) {
    report.notes.push_back(
        text("--target-tokens is for encoder-decoder models and not used for model_type ", architecture.model_type));
  }
  if (options.tokens > architecture.max_positions()) {
    report.notes.push_back(text("the model reads at most ", architecture.max_positions(),
                                " tokens a sequence; --tokens ", options.tokens, " is more"));
  }
}

/// Prices without a choice.
template <class Architecture>
PlanReport price_model(const Architecture& architecture, const PlanGraph& graph, const LinearCost& full,
                       const BatchOfSize& batch_of, const PlanOptions& options) {
  const Workload workload = batch_of(options.batch_size);
  const bool published = options.cost_model == "paper";
  PlanReport report =
      published ? price_as_published(graph, published_prices(architecture, options)) : price_exactly(graph, workload);
  if (!published) report.full = evaluate(full, workload);
  report.batch = text("batches of ", options.batch_size, " x ", options.tokens, " tokens");
  if (is_encoder_decoder<Architecture>) report.batch += text(" in and ", options.target_tokens, " out");
  if (!published)
    report.batch += text(", ", workload[Measure::labelled_tokens] / options.batch_size, " of them labelled");
  return report;
}

/// Chooses, where the options ask for it, and plans the pass that trains what is chosen.
void choose_and_plan(PlanReport& report, const PlanGraph& graph, const LinearCost& full, const BatchOfSize& batch_of,
                     const ModelFacts& facts, const PlanOptions& options) {
  const Workload workload = batch_of(options.batch_size);
  std::optional<TrainingBatches> batches;
  std::vector<CutForecast> forecasts;
  if (options.epochs > 0) {
    batches = run_batches(facts, workload, options);
    forecasts = cache_forecasts(graph, *batches, options);
  }
  const Bytes limit = options.memory_limit.empty() ? 0 : parse_bytes("--memory-limit", options.memory_limit, "plan", 1);
  FitDemand demand{.limit = limit,
                   .updates = update_memory(graph, options),
                   .largest = batch_of(options.pass_size()),
                   .largest_measured = workload,
                   .evaluated = {}};
  Workload coming = workload;
  if (batches) {
    demand.largest = batches->largest_batch();
    demand.largest_measured = batches->largest_group();
    demand.cached = cached_bytes(graph, *batches, options);
    coming = batches->workload_of_steps(0, batches->steps());
  }
  const MemoryLimit<PlanPolicy> memory(graph, std::move(demand));
  const ImportanceDemand metric = importance_demand_of<PlanBackend>(options.importance_metric, graph);
  const PlannedPass planned = plan_pass(report, graph,
                                        {.workload = workload,
                                         .coming = coming,
                                         .memory = memory,
                                         .metric = metric,
                                         .forecasts = forecasts,
                                         .full = full,
                                         .facts = facts,
                                         .memory_limit = limit},
                                        options);
  const MemoryLimit<PlanPolicy>::Pass& pass = planned.pass;
  if (batches) {
    report.run = planned_run(graph, planned.trained, *batches, planned.cut, pass.segments, forecasts, full, options);
  }
  report.recomputed = evaluate(pass_cost(graph, pass.plan, ExactCost<PlanPolicy>{}).recomputed, workload);
  for (const DroppedSegment& segment : pass.segments) report.recomputed_from.push_back(graph.op(segment.first).name);
  report.recomputation_optimal = pass.optimal;
  report.memory = pass.memory;
  if (options.gradient_sums == "exact")
    report.exact_sums = ExactGradients<PlanBackend>::bytes_for(graph, planned.trained);
  report.memory_importance = memory.importance(metric, planned.trained, {}).memory.total();
}

template <class Architecture>
PlanReport make_report(const Architecture& architecture, const Command& command, const PlanOptions& options) {
  const PlanGraph exact =
      graph_of<PlanPolicy>(architecture, {.frozen_format = parse_frozen_format("plan", options.frozen_format)});
  const PlanGraph graph = options.context_gradients == "exact"
                              ? exact
                              : with_detached_context(exact, parse_context_gradients(options.context_gradients));
  const LinearCost full = full_fine_tuning_cost(exact, ExactCost<PlanPolicy>{});
  const BatchOfSize batch_of = planned_batch<Architecture>(graph, options);
  PlanReport report = price_model(architecture, graph, full, batch_of, options);
  add_notes(report, architecture, command, options);
  if (!options.tensors.empty()) report.selection = select_listed(graph, options.tensors);
  if (!options.freeze.empty()) freeze(report, graph, batch_of(options.batch_size), options);
  choose_and_plan(report, graph, full, batch_of, facts_of(architecture), options);
  const Selection trained = report.selection.value_or(select_all(graph));
  if (!options.budget.empty())
    report.within_budget = plan_within_budget(graph, exact, trained, full, batch_of, options);
  if (!options.phases.empty()) price_phases(report, graph, full, batch_of, options);
  if (options.passing == "rotating") {
    report.passing = planned_passing(graph, trained, batch_of(options.batch_size), options.passing_share);
    report.notes.push_back("memory is planned for exact gradients");
  }
  return report;
}

}  // namespace

PlanReport make_plan_report(const ConfigReader& config, const Command& command, const PlanOptions& options) {
  return KnownArchitectures::read(
      config, [&](const auto& architecture) { return make_report(architecture, command, options); });
}

}  // namespace greentrainer::program
