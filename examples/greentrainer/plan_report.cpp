#include "plan_report.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>

#include "console.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/graph/detached_context.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/select/gradient_dag.hpp"
#include "greentrainer/select/gradient_dag_of_graph.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/limited_selection.hpp"
#include "greentrainer/select/paper_selector.hpp"
#include "greentrainer/select/worth_of_blocks.hpp"
#include "greentrainer/tokenizers/load_tokenizer.hpp"
#include "greentrainer/train/cache_obstacle.hpp"
#include "greentrainer/train/disk_prefix_store.hpp"
#include "greentrainer/train/exact_gradients.hpp"
#include "greentrainer/train/plan_run.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

namespace {

/// What a backend says about costs, without its kernels: graphs of it cost no time to compile.
template <class B>
struct CostsOf {
  static LinearCost adjust_cost(std::string_view kind, std::string_view part, LinearCost cost) requires requires {
    B::adjust_cost(kind, part, cost);
  }
  { return B::adjust_cost(kind, part, cost); }
  static Bytes most_scratch_bytes() { return B::most_scratch_bytes(); }
  static Bytes most_decoding_bytes() { return B::most_decoding_bytes(); }
};

using PlanBackend = EigenBackend<float>;
using Policy = CostsOf<PlanBackend>;
using Graph = TensorGraph<Policy>;
constexpr Bytes element_size = sizeof(PlanBackend::Scalar);
constexpr Bytes adamw_state = 2 * element_size;

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

/// Prices by the graph. The activation gradients of an operator with parameters are its first parameter's `grad_input`:
/// of a layer's weight, not its bias. A tensor that several operators read has the sum.
PlanReport price_exactly(const Graph& graph, const Workload& workload) {
  const ExactCost<Policy> cost;
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

PlanReport price_as_published(const Graph& graph, const PaperCost& cost) {
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

std::vector<double> read_importance(const std::string& path, const Graph& graph) {
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

/// The examples of a run: those of the data file, or as many as the options say, each a sequence of the planned batch.
TrainingBatches run_batches(const ModelFacts& facts, const Workload& batch, const PlanOptions& options) {
  FitOptions fit{.epochs = options.epochs,
                 .batch_size = options.batch_size,
                 .gradient_sums = options.gradient_sums == "exact" ? GradientSums::exact : GradientSums::fast};
  std::vector<Workload> examples;
  if (options.train.empty()) {
    Workload one = batch;
    for (std::int64_t& value : one.values) value /= options.batch_size;
    one[Measure::steps] = 1;
    examples.assign(static_cast<std::size_t>(options.examples), one);
  } else {
    const ModelFiles files = open_model("plan", options.model).files;
    const auto tokenizer = has_tokenizer(files) ? load_tokenizer(files) : nullptr;
    for (const Example& example : load_data(options.train, tokenizer.get(), facts, options.data).examples)
      examples.push_back(workload_of(example, batch.window));
  }
  return {std::move(examples), fit};
}

PrefixRoom room_of(const PlanOptions& options) {
  FitOptions fit;
  options.cache.set(fit);
  return {.element_size = size_of(fit.prefix_cache_type.value_or(DType::float32)),
          .beside_each = fit.prefix_cache == PrefixCacheMode::disk ? DiskPrefixStore::header_bytes : 0,
          .limit = fit.prefix_cache_limit};
}

/// How cached values would shorten the run; empty without a cache.
std::vector<CutForecast> cache_forecasts(const Graph& graph, const TrainingBatches& batches,
                                         const PlanOptions& options) {
  if (options.cache.mode == "off") return {};
  return forecast_cache(graph, cacheable_cuts(graph), room_of(options), batches, 0, batches.steps());
}

/// What a cache takes in memory at a cut, as a Trainer counts it.
std::function<Bytes(const Cut&)> cached_bytes(const Graph& graph, const TrainingBatches& batches,
                                              const PlanOptions& options) {
  if (options.cache.mode == "off") return {};
  PrefixRoom kept = room_of(options);
  if (options.cache.mode == "disk") kept.limit = 0;
  Workload all;
  for (std::size_t i = 0; i < batches.count(); ++i) all += batches.workload(i);
  return [&graph, all, largest = batches.largest_batch(), kept](const Cut& cut) {
    return std::min(kept.limit, kept.entry(graph, cut, all)) +
           PrefixRoom{.element_size = element_size}.entry(graph, cut, largest);
  };
}

PlannedRun planned_run(const Graph& graph, const Selection& selection, const TrainingBatches& batches,
                       const std::optional<Cut>& cut, const std::vector<DroppedSegment>& segments,
                       const std::vector<CutForecast>& forecasts, const LinearCost& full, const PlanOptions& options) {
  PlannedRun run;
  run.examples = static_cast<Extent>(batches.count());
  run.steps = batches.steps();
  run.forecast = forecast_run(graph, selection, cut, room_of(options), batches, full, segments);
  if (cut)
    run.cached_below = graph.op(cut->op).name;
  else if (options.cache.mode != "off")
    run.not_cached = why_not_cached(graph, selection, std::span(forecasts));
  return run;
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

/// Chooses on the graph, at exact prices, and within the memory limit.
MemoryLimit<Policy>::Pass select_exactly(PlanReport& report, const Graph& graph, const Workload& workload,
                                         const MemoryLimit<Policy>& memory, const ImportanceDemand& metric,
                                         const std::vector<double>& importance, const PlanOptions& options,
                                         std::span<const CutForecast> forecasts, const LinearCost& full,
                                         const ModelFacts& facts, std::optional<Cut>& cut) {
  const ExactCost<Policy> cost;
  const SelectFunction select =
      with_worth(graph, facts.layer_prefixes, parse_worth(options.worth), selector_of(report, importance, options));
  const Selection frozen = select_listed(graph, options.freeze, "freeze");
  const auto choose = [&](const std::vector<double>& worth, double ratio, bool cached) {
    return select_within_ratio(
        graph, cost, workload, worth, ratio, select,
        {.full = full, .forecasts = cached ? forecasts : std::span<const CutForecast>(), .frozen = frozen});
  };
  const auto price = [&](const MemoryLimit<Policy>::Pass& pass) {
    return evaluate(pass_cost(graph, pass.plan, cost).recomputed, workload);
  };
  const auto excess = [&](const Selection& selection, const std::optional<Cut>& at) {
    return memory.excess(memory.importance(metric, selection, at));
  };
  auto chosen = select_within_memory(graph, memory, importance, options.rho, choose, price, excess);
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

template <class Architecture>
inline constexpr bool is_encoder_decoder = requires(const Architecture& architecture) {
  architecture.target_shift();
};

/// The batch that the options describe. An encoder-decoder's sequences are the targets, and --tokens those of their
/// sources.
template <class Architecture>
Workload planned_workload([[maybe_unused]] const Graph& graph, const PlanOptions& options) {
  if constexpr (is_encoder_decoder<Architecture>) {
    return uniform_workload(options.batch_size, options.target_tokens,
                            options.labelled_of(options.target_tokens, "--target-tokens"), options.tokens);
  } else {
    return uniform_workload(options.batch_size, options.tokens, options.labelled_of(options.tokens, "--tokens"), 0,
                            graph.window());
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

/// FLOPs of updating what is selected once, with AdamW.
Flops adamw_update(const Graph& graph, const Selection& selection) {
  return update_price(graph, selection, update_flops_per_element(adamw_flops_per_element, false));
}

/// The phases of a run of so many equal batches.
template <class Architecture>
std::vector<PlannedPhase> phases_of_run(const Graph& graph, const LinearCost& full, Extent batch_size, Extent steps,
                                        const PlanOptions& options) {
  PlanOptions of_size = options;
  of_size.batch_size = batch_size;
  return planned_phases(parse_phases("plan", options.phases), steps,
                        evaluate(full, planned_workload<Architecture>(graph, of_size)),
                        adamw_update(graph, select_all(graph)));
}

/// A run of equal batches within a budget, with AdamW. What choosing costs is not in it.
template <class Architecture>
RunPlan plan_within_budget(const Graph& graph, const Selection& trained, const LinearCost& full_cost,
                           const PlanOptions& options) {
  const ExactCost<Policy> cost;
  const LinearCost passes = pass_cost(graph, training_plan(graph, trained), cost).total();
  const auto flops = [&](const LinearCost& of_step, const Selection& updated, Extent batch_size, Extent steps) {
    PlanOptions of_size = options;
    of_size.batch_size = batch_size;
    const CheckedInteger step = CheckedInteger(evaluate(of_step, planned_workload<Architecture>(graph, of_size))) +
                                adamw_update(graph, updated);
    return (CheckedInteger(steps) * step).value();
  };
  const RunPrices prices{.steps = [&](Extent size) { return options.steps * options.batch_size / size; },
                         .price =
                             [&](Extent size, Extent steps) {
                               if (options.phases.empty()) return flops(passes, trained, size, steps);
                               return most_of(phases_of_run<Architecture>(graph, full_cost, size, steps, options));
                             }};
  const Flops full = flops(full_cost, select_all(graph), options.batch_size, options.steps);
  RunPlan plan = plan_run(parse_budget("plan", options.budget, options.budget_cuts), options.batch_size, full, prices);
  plan.exact = options.phases.empty();
  return plan;
}

/// Prices the phases of the run that is planned. Throws ConfigError where finetune would: for a phase without a step,
/// or one that no tensor fits into.
template <class Architecture>
void price_phases(PlanReport& report, const Graph& graph, const LinearCost& full, const PlanOptions& options) {
  const RunPlan* const plan = report.within_budget ? &*report.within_budget : nullptr;
  const Extent steps = plan != nullptr ? plan->steps : options.steps;
  PlanOptions of_run = options;
  of_run.batch_size = plan != nullptr ? plan->batch_size : options.batch_size;
  report.phases = phases_of_run<Architecture>(graph, full, of_run.batch_size, steps, options);
  const Workload batch = planned_workload<Architecture>(graph, of_run);
  const CheckedInteger full_step = CheckedInteger(evaluate(full, batch)) + adamw_update(graph, select_all(graph));
  report.full_of_phases = (CheckedInteger(steps) * full_step).value();
  for (const PlannedPhase& phase : report.phases) {
    if (phase.steps == 0) {
      throw ConfigError("plan", "phases",
                        text("expected a step or more of the run's ", steps, " in each phase, got none for rho ",
                             phase.flops_ratio, "; give it a larger share, or take more steps"));
    }
    if (phase.flops_ratio < report.ratio(report.cheapest)) {
      throw ConfigError("plan", "phases",
                        text("expected ratios of at least ", std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4,
                             ", the forward pass and the cheapest tensor, ", "got ", phase.flops_ratio));
    }
  }
}

/// Takes what is frozen out of what is trained, and of what could be.
void freeze(PlanReport& report, const Graph& graph, const Workload& workload, const PlanOptions& options) {
  Selection trained = without_frozen(graph, report.selection.value_or(select_all(graph)), options.freeze);
  if (options.rho == 0) report.selection = std::move(trained);
  GradientDag dag = gradient_dag_of(graph, ExactCost<Policy>{}, workload);
  const Selection frozen = select_listed(graph, options.freeze, "freeze");
  for (std::size_t i = 0; i < dag.items.size(); ++i) dag.items[i].frozen = frozen.mask()[i];
  report.cheapest = cheapest_item(dag);
}

template <class Architecture>
PlanReport make_report(const Architecture& architecture, const Command& command, const PlanOptions& options) {
  const Graph exact =
      graph_of<Policy>(architecture, {.frozen_format = parse_frozen_format("plan", options.frozen_format)});
  const Graph graph = options.context_gradients == "exact"
                          ? exact
                          : with_detached_context(exact, parse_context_gradients(options.context_gradients));
  const LinearCost full = full_fine_tuning_cost(exact, ExactCost<Policy>{});
  const Workload workload = planned_workload<Architecture>(graph, options);
  const bool published = options.cost_model == "paper";
  PlanReport report =
      published ? price_as_published(graph, published_prices(architecture, options)) : price_exactly(graph, workload);
  if (!published) report.full = evaluate(full, workload);
  if (published && command.given("labelled-tokens"))
    report.notes.push_back("the published rules label every token; --labelled-tokens is not used");
  if (!is_encoder_decoder<Architecture> && command.given("target-tokens")) {
    report.notes.push_back(
        text("--target-tokens is for encoder-decoder models and not used for model_type ", architecture.model_type));
  }
  if (options.tokens > architecture.max_positions()) {
    report.notes.push_back(text("the model reads at most ", architecture.max_positions(),
                                " tokens a sequence; --tokens ", options.tokens, " is more"));
  }
  report.batch = text("batches of ", options.batch_size, " x ", options.tokens, " tokens");
  if (is_encoder_decoder<Architecture>) report.batch += text(" in and ", options.target_tokens, " out");
  if (!published)
    report.batch += text(", ", workload[Measure::labelled_tokens] / options.batch_size, " of them labelled");

  std::optional<TrainingBatches> batches;
  std::vector<CutForecast> forecasts;
  if (options.epochs > 0) {
    batches = run_batches(facts_of(architecture), workload, options);
    forecasts = cache_forecasts(graph, *batches, options);
  }
  if (!options.tensors.empty()) report.selection = select_listed(graph, options.tensors);
  if (!options.freeze.empty()) freeze(report, graph, workload, options);
  const Bytes limit = options.memory_limit.empty() ? 0 : parse_bytes("--memory-limit", options.memory_limit, "plan", 1);
  PlanOptions of_pass = options;
  of_pass.batch_size = options.pass_size();
  FitDemand demand{.limit = limit,
                   .state_bytes_per_element = adamw_state,
                   .largest = planned_workload<Architecture>(graph, of_pass),
                   .largest_measured = workload,
                   .evaluated = {}};
  Workload coming = workload;
  if (batches) {
    demand.largest = batches->largest_batch();
    demand.largest_measured = batches->largest_group();
    demand.cached = cached_bytes(graph, *batches, options);
    coming = batches->workload_of_steps(0, batches->steps());
  }
  const MemoryLimit<Policy> memory(graph, std::move(demand));
  const ImportanceDemand metric = importance_demand_of<PlanBackend>(options.importance_metric, graph);
  if (limit > 0 && options.rho > 0) {
    const Bytes least = memory.importance(metric, select_none(graph), {}).memory.total();
    if (least > limit) throw InfeasibleMemory("plan", limit, least, "the evaluation of importances");
  }
  std::optional<Cut> cut;
  MemoryLimit<Policy>::Pass pass;
  if (options.rho > 0) {
    const auto importance = read_importance(options.importance, graph);
    if (published)
      select_on_published_chain(report, importance, options);
    else
      pass = select_exactly(report, graph, coming, memory, metric, importance, options, forecasts, full,
                            facts_of(architecture), cut);
  }
  const Selection trained = report.selection.value_or(select_all(graph));
  if (pass.plan.steps.empty()) {
    cut = best_cut(graph, ExactCost<Policy>{}, coming, forecasts, trained);
    pass = memory.training(trained, cut);
    if (memory.excess(pass) > 0 && cut) pass = memory.training(trained, cut = std::nullopt);
  }
  if (memory.excess(pass) > 0) throw InfeasibleMemory("plan", limit, pass.memory.total(), "training");
  if (report.selection) {
    report.selection_cost = published
                                ? published_cost(report, *report.selection)
                                : evaluate(backward_cost(graph, *report.selection, ExactCost<Policy>{}), workload);
  }
  if (!options.budget.empty()) report.within_budget = plan_within_budget<Architecture>(graph, trained, full, options);
  if (!options.phases.empty()) price_phases<Architecture>(report, graph, full, options);
  if (options.passing == "rotating") {
    report.passing = planned_passing(graph, trained, workload, options.passing_share);
    report.notes.push_back("memory is planned for exact gradients");
  }
  if (batches) report.run = planned_run(graph, trained, *batches, cut, pass.segments, forecasts, full, options);
  report.recomputed = evaluate(pass_cost(graph, pass.plan, ExactCost<Policy>{}).recomputed, workload);
  for (const DroppedSegment& segment : pass.segments) report.recomputed_from.push_back(graph.op(segment.first).name);
  report.recomputation_optimal = pass.optimal;
  report.memory = pass.memory;
  if (options.gradient_sums == "exact") report.exact_sums = ExactGradients<PlanBackend>::bytes_for(graph, trained);
  report.memory_importance = memory.importance(metric, trained, {}).memory.total();
  return report;
}

}  // namespace

PlanReport make_plan_report(const ConfigReader& config, const Command& command, const PlanOptions& options) {
  return KnownArchitectures::read(
      config, [&](const auto& architecture) { return make_report(architecture, command, options); });
}

}  // namespace greentrainer::program
