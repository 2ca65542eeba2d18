// greentrainer plan: what training a model would cost, from config.json alone. Weights are neither read nor allocated.

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "greentrainer/backends/eigen.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/executor/transient_gradients.hpp"
#include "greentrainer/io/tensor_info.hpp"
#include "greentrainer/models/architectures.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/paper_selector.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer plan --model opt-125m --batch-size 4 --tokens 256 --labelled-tokens 32\n"
    "  greentrainer plan --model opt-125m --tensors '*.layers.11.*,*.bias'\n"
    "  greentrainer plan --model opt-125m --rho 0.5 --importance importance.json --json\n"
    "  greentrainer plan --model opt-2.7b --cost-model paper\n"
    "Reads config.json alone. The file of --importance is {\"tensor name\": importance, ...}; tensors that it leaves out have importance 0,\n"
    "and metrics.jsonl of a fine-tuning run has such objects. --rho bounds (forward + backward of the selection) / (forward + full backward).\n"
    "Costs: exact are FLOPs (a multiply-add is 2) as the backend executes them, for packed sequences and causal attention; paper are\n"
    "multiply-adds by the rules published with GreenTrainer, for padded sequences with every token labelled.";

struct Options {
  std::string model, config, cost_model = "exact", importance, selector, backend = "eigen";
  std::vector<std::string> tensors;
  Extent batch_size = 4, tokens = 512, labelled_tokens = 0, target_tokens = 64;
  double rho = 0;
  bool json = false;

  /// Labelled tokens of a sequence of so many; throws UsageError if they are fewer than asked for.
  Extent labelled_of(Extent sequence, const char* option) const {
    if (labelled_tokens > sequence)
      bad_usage("plan", text("--labelled-tokens: expected at most ", option, ", ", sequence, ", got ", labelled_tokens));
    return labelled_tokens > 0 ? labelled_tokens : sequence;
  }
};

/// What a backend says about costs, without its kernels: graphs of it cost no time to compile.
template <class B>
struct CostsOf {
  static LinearCost adjust_cost(std::string_view kind, std::string_view part, LinearCost cost) requires requires { B::adjust_cost(kind, part, cost); }
  { return B::adjust_cost(kind, part, cost); }
};

using PlanBackend = EigenBackend<float>;
using Policy = CostsOf<PlanBackend>;
using Graph = TensorGraph<Policy>;
constexpr Bytes element_size = sizeof(PlanBackend::Scalar);
constexpr Bytes adamw_state = 2 * element_size;

struct TensorCost {
  std::string name;
  ParameterShape shape;
  std::int64_t grad_input = 0;
  std::int64_t grad_weight = 0;
};
struct OperatorCost {
  std::string name;
  std::int64_t forward = 0;
  std::int64_t grad_input = 0;
};

/// All that is printed. Tensors and operators add up to `backward`.
struct Report {
  std::string unit;
  std::string batch;               ///< for people
  std::vector<std::string> notes;  ///< for people, beside the result
  std::int64_t forward = 0, backward = 0;
  std::vector<TensorCost> tensors;
  std::vector<OperatorCost> operators;
  std::int64_t cheapest = 0;  ///< backward pass of the cheapest tensor
  std::optional<Selection> selection;
  std::int64_t selection_cost = 0;
  MemoryEstimate memory;
  Bytes memory_importance = 0;

  std::int64_t total() const { return (CheckedInteger(forward) + backward).value(); }
  double ratio(std::int64_t cost) const { return static_cast<double>(forward + cost) / static_cast<double>(total()); }
};

/// The report's tensors from the last to the first, as a chain.
ChainProblem chain_of(const Report& report, const std::vector<double>& importance, double budget) {
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

/// Prices by the graph. The activation gradients of an operator with parameters are its first parameter's `grad_input`: of a layer's weight, not its
/// bias. A tensor that several operators read has the sum.
Report price_exactly(const Graph& graph, const Workload& workload) {
  const ExactCost<Policy> cost;
  Report report;
  report.unit = ExactCost<PlanBackend>::unit();
  report.forward = evaluate(forward_cost(graph, cost), workload);
  for (const Parameter& p : graph.parameters()) report.tensors.push_back({p.name, p.shape});
  const BackwardPlan plan = make_backward_plan(graph, select_all(graph));
  report.backward = evaluate(backward_cost(graph, plan, cost), workload);

  std::vector<BitSet> parts(graph.operators().size(), 0);
  for (const auto& step : plan.steps) parts[static_cast<std::size_t>(step.op)] = step.parts;
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
        report.tensors[static_cast<std::size_t>(node.parameters[static_cast<std::size_t>(part.index)])].grad_weight += price;
    }
    if (node.parameters.empty())
      report.operators.push_back({node.name, evaluate(cost.forward(graph, id), workload), grad_input});
    else
      report.tensors[static_cast<std::size_t>(node.parameters.front())].grad_input += grad_input;
  }

  report.cheapest = std::numeric_limits<std::int64_t>::max();
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    Selection one = select_none(graph);
    one.insert(id);
    report.cheapest = std::min(report.cheapest, evaluate(backward_cost(graph, make_backward_plan(graph, one), cost), workload));
  }
  return report;
}

Report price_as_published(const Graph& graph, const PaperCost& cost) {
  Report report;
  report.unit = "multiply-adds";
  report.forward = cost.forward();
  report.backward = (CheckedInteger(cost.grad_input()) + cost.grad_weight()).value();
  report.cheapest = std::numeric_limits<std::int64_t>::max();
  std::int64_t above = 0;
  for (std::size_t i = cost.tensors.size(); i-- > 0;) {
    report.cheapest = std::min(report.cheapest, above + cost.tensors[i].grad_weight);
    above += cost.tensors[i].grad_input;
  }
  for (std::size_t i = 0; i < cost.tensors.size(); ++i) {
    report.tensors.push_back({cost.tensors[i].name, graph.parameters()[i].shape, cost.tensors[i].grad_input, cost.tensors[i].grad_weight});
  }
  return report;
}

std::vector<double> read_importance(const std::string& path, const Graph& graph) {
  const Json json = read_json_file(path);
  if (!json.is_object()) throw ConfigError("plan", text(path, ": expected a JSON object from tensor name to importance, got ", json.type_name()));
  std::vector<double> importance(graph.parameters().size(), 0.0);
  for (const auto& [name, value] : json.items()) {
    const auto id = graph.find(name);
    if (!id) {
      std::vector<std::string> names;
      for (const Parameter& p : graph.parameters()) names.push_back(p.name);
      std::string near = suggestion(name, names);
      if (!near.starts_with("; did")) near = text("; e.g. ", names.front());
      throw ConfigError("plan", text(path, ", key \"", name, "\": expected the name of a tensor, got an unknown one", near));
    }
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      throw ConfigError("plan", text(path, ", key \"", name, "\": expected a finite number, got ", value.dump().substr(0, 40)));
    }
    importance[static_cast<std::size_t>(*id)] = value.get<double>();
  }
  return importance;
}

/// Chooses on the graph, at exact prices.
void select_exactly(Report& report, const Graph& graph, const Workload& workload, const std::vector<double>& importance, const Options& options) {
  SelectFunction select = [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
  if (options.selector == "ratio") select = [](const SelectionProblem& problem) { return ImportancePerFlopSelector{}.select(problem); };
  if (options.selector == "paper") {
    select = [&](const SelectionProblem& problem) {
      const auto chosen = PaperSelector{}.select(chain_of(report, importance, static_cast<double>(problem.budget)));
      return SelectionResult{.mask = from_chain(chosen.mask).mask(), .importance = chosen.importance, .cost = 0, .optimal = false};
    };
  }
  report.selection = select_within_ratio(graph, ExactCost<Policy>{}, workload, importance, options.rho, select).selection;
}

/// Chooses on the chain of the paper's prices; by the paper's recursion unless another selector is asked for.
void select_on_published_chain(Report& report, const std::vector<double>& importance, const Options& options) {
  const double budget = std::floor(options.rho * static_cast<double>(report.total())) - static_cast<double>(report.forward);
  if (budget < static_cast<double>(report.cheapest)) {
    throw ConfigError("plan", text("--rho: expected at least ", std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4,
                                   ", the forward pass and the cheapest tensor, got ", options.rho));
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
std::int64_t published_cost(const Report& report, const Selection& selection) {
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

/// The batch that the options describe. An encoder-decoder's sequences are the targets, and --tokens those of their sources.
template <class Architecture>
Workload planned_workload(const Options& options) {
  if constexpr (is_encoder_decoder<Architecture>) {
    return uniform_workload(options.batch_size, options.target_tokens, options.labelled_of(options.target_tokens, "--target-tokens"), options.tokens);
  } else {
    return uniform_workload(options.batch_size, options.tokens, options.labelled_of(options.tokens, "--tokens"));
  }
}

/// The published prices. Throws ConfigError for an architecture without.
template <class Architecture>
PaperCost published_prices(const Architecture& architecture, const Options& options) {
  if constexpr (requires { architecture.paper_cost(options.batch_size, options.tokens, options.target_tokens); }) {
    return architecture.paper_cost(options.batch_size, options.tokens, options.target_tokens);
  } else if constexpr (requires { architecture.paper_cost(options.batch_size, options.tokens); }) {
    return architecture.paper_cost(options.batch_size, options.tokens);
  } else {
    throw ConfigError("plan", text("--cost-model: expected exact for model_type ", Architecture::model_type,
                                   ", got paper; there are published rules for opt, bloom and t5 alone"));
  }
}

template <class Architecture>
Report make_report(const Architecture& architecture, const Command& command, const Options& options) {
  const Graph graph = architecture.template graph<Policy>();
  const Workload workload = planned_workload<Architecture>(options);
  const bool published = options.cost_model == "paper";
  Report report = published ? price_as_published(graph, published_prices(architecture, options)) : price_exactly(graph, workload);
  if (published && command.given("labelled-tokens")) report.notes.push_back("the published rules label every token; --labelled-tokens is not used");
  if (!is_encoder_decoder<Architecture> && command.given("target-tokens")) {
    report.notes.push_back(text("--target-tokens is for encoder-decoder models and not used for model_type ", Architecture::model_type));
  }
  if (options.tokens > architecture.max_positions()) {
    report.notes.push_back(
        text("the model reads at most ", architecture.max_positions(), " tokens a sequence; --tokens ", options.tokens, " is more"));
  }
  report.batch = text("batches of ", options.batch_size, " x ", options.tokens, " tokens");
  if (is_encoder_decoder<Architecture>) report.batch += text(" in and ", options.target_tokens, " out");
  if (!published) report.batch += text(", ", workload[Measure::labelled_tokens] / options.batch_size, " of them labelled");

  if (!options.tensors.empty()) report.selection = select_listed(graph, options.tensors);
  if (options.rho > 0) {
    const auto importance = read_importance(options.importance, graph);
    if (published)
      select_on_published_chain(report, importance, options);
    else
      select_exactly(report, graph, workload, importance, options);
  }
  if (report.selection) {
    report.selection_cost = published ? published_cost(report, *report.selection)
                                      : evaluate(backward_cost(graph, make_backward_plan(graph, *report.selection), ExactCost<Policy>{}), workload);
  }
  const Selection trained = report.selection.value_or(select_all(graph));
  report.memory = training_memory(graph, trained, workload, element_size, adamw_state);
  report.memory_importance =
      importance_memory(graph, trained, workload, element_size, adamw_state, TransientGradients<PlanBackend>::elements(graph), true).total();
  return report;
}

OrderedJson json_of(const Report& report, const Options& options) {
  OrderedJson json = {{"cost_model", options.cost_model},
                      {"unit", report.unit},
                      {"forward", report.forward},
                      {"backward", report.backward},
                      {"total", report.total()}};
  json["tensors"] = OrderedJson::array();
  for (const auto& t : report.tensors) {
    json["tensors"].push_back({{"name", t.name}, {"shape", t.shape}, {"grad_input", t.grad_input}, {"grad_weight", t.grad_weight}});
  }
  json["operators"] = OrderedJson::array();
  for (const auto& o : report.operators) json["operators"].push_back({{"name", o.name}, {"forward", o.forward}, {"grad_input", o.grad_input}});
  if (report.selection) {
    json["selection"] = OrderedJson::array();
    for (std::size_t i = 0; i < report.tensors.size(); ++i) {
      if (report.selection->mask()[i]) json["selection"].push_back(report.tensors[i].name);
    }
    json["selection_cost"] = report.selection_cost;
    json["ratio"] = report.ratio(report.selection_cost);
  }
  json["memory_bytes"] = report.memory.total();
  json["memory"] = {{"weights", report.memory.weights},
                    {"gradients", report.memory.gradients},
                    {"optimizer", report.memory.optimizer},
                    {"activations", report.memory.activations},
                    {"workspace", report.memory.workspace}};
  json["memory_importance_bytes"] = report.memory_importance;
  return json;
}

void print(const Report& report, const Options& options) {
  const auto amount = [&](std::int64_t cost) { return with_prefix(static_cast<double>(cost), report.unit); };
  const auto number = [&](std::int64_t cost) { return with_prefix(static_cast<double>(cost), ""); };
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "grad_input", "grad_weight", report.selection ? "selected" : ""}};
  for (std::size_t i = 0; i < report.tensors.size(); ++i) {
    const auto& t = report.tensors[i];
    rows.push_back(
        {t.name, shape_text(t.shape), number(t.grad_input), number(t.grad_weight), report.selection && report.selection->mask()[i] ? "yes" : ""});
  }
  print_table(rows);
  if (!report.operators.empty()) {
    rows = {{"operator without parameters", "forward", "grad_input"}};
    for (const auto& o : report.operators) rows.push_back({o.name, number(o.forward), number(o.grad_input)});
    std::cout << '\n';
    print_table(rows);
  }

  std::cout << '\n' << options.model << ", " << report.batch << ", cost model " << options.cost_model << '\n';
  rows = {{"forward", amount(report.forward)}, {"backward, full", amount(report.backward)}, {"total, full", amount(report.total())}};
  rows.push_back({"smallest feasible --rho", fixed(std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4, 4)});
  if (report.selection) {
    rows.push_back({"tensors selected", text(report.selection->count(), " of ", report.tensors.size())});
    rows.push_back({"backward, selection", amount(report.selection_cost)});
    rows.push_back({"ratio", fixed(report.ratio(report.selection_cost), 4)});
  }
  print_table(rows);
  std::cout << "memory (float, AdamW): " << memory_line(report.memory) << '\n'
            << "memory while importances are evaluated: " << bytes_text(report.memory_importance) << '\n';
}

void check(const Command& command, Options& options) {
  command.require("model");
  check_backend_name(command, options.backend);
  if (options.backend == "cuda") with_cuda({.name = "cuda"}, [](auto&) { return 0; });  // plans for it where it is; its FLOPs are the CPU's
  const std::string_view chosen = command.either("rho", "tensors");
  if (chosen == "rho") options.tensors.clear();
  if (chosen == "tensors") options.rho = 0;
  if (command.given("rho") && !command.given("importance")) {
    bad_usage("plan", "--importance: expected a file with the tensors' importances beside --rho, got none; see greentrainer plan --help");
  }
  for (const char* name : {"importance", "selector"}) {
    if (command.given(name) && !command.given("rho")) bad_usage("plan", text("--", name, ": expected --rho beside it, got none"));
  }
}

int run(const Command& command, const Options& options) {
  const auto config = ConfigReader::from_file(std::filesystem::path(options.model) / "config.json");
  const Report report = KnownArchitectures::read(config, [&](const auto& architecture) { return make_report(architecture, command, options); });
  for (const std::string& note : report.notes) say("note: " + note);
  if (options.json)
    print_json(json_of(report, options));
  else
    print(report, options);
  return 0;
}

}  // namespace

Command make_plan_command() {
  const auto options = std::make_shared<Options>();
  Command command("plan", "What would training cost? FLOPs and memory by tensor, from config.json alone", examples);
  command.text("model", options->model, "DIR", "Model folder; its config.json is read");
  command.whole("batch-size", options->batch_size, 1, "Sequences in a batch (4)", 1 << 20);
  command.whole("tokens", options->tokens, 1, "Tokens in a sequence; of the source, for encoder-decoder models (512)", 1 << 20);
  command.whole("labelled-tokens", options->labelled_tokens, 1, "Of these, tokens that carry loss (all)", 1 << 20);
  command.whole("target-tokens", options->target_tokens, 1, "Target tokens in a sequence, for encoder-decoder models (64)", 1 << 20);
  command.choice("cost-model", options->cost_model, {"exact", "paper"}, "exact: executed FLOPs; paper: the published multiply-adds (exact)");
  command.list("tensors", options->tensors, "GLOB,...", "Price training these tensors");
  command.number("rho", options->rho, 0, true, "Choose tensors within this share of full fine-tuning; needs --importance", 1);
  command.text("importance", options->importance, "FILE", "JSON object from tensor name to importance");
  command.choice("selector", options->selector, {"exact", "paper", "ratio"}, "How to choose (exact; paper with --cost-model paper)");
  command.text("backend", options->backend, "NAME", "Whose FLOPs: eigen, or cuda, which are the same (eigen)");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command& self) { return run(self, *options); };
  return command;
}

}  // namespace greentrainer::program
