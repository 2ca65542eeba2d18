// greentrainer plan: what training a model would cost, from config.json alone. Weights are neither read nor allocated.

#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "finetune_report.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/io/config_reader.hpp"
#include "greentrainer/io/json.hpp"
#include "greentrainer/io/tensor_info.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "optimizer_choice.hpp"
#include "option_values.hpp"
#include "plan_report.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer plan --model opt-125m --batch-size 4 --tokens 256 --labelled-tokens 32\n"
    "  greentrainer plan --model opt-125m --tensors '*.layers.11.*,*.bias'\n"
    "  greentrainer plan --model opt-125m --freeze '*embed*' --budget 0.5x --steps 100\n"
    "  greentrainer plan --model opt-125m --rho 0.5 --importance importance.json --json\n"
    "  greentrainer plan --model opt-125m --tensors '*.layers.11.*' --epochs 5 --examples 1000 --prefix-cache memory\n"
    "  greentrainer plan --model opt-125m --steps 100 --budget 0.5x\n"
    "  greentrainer plan --model opt-125m --steps 100 --phases 1:10%,0.4:90%\n"
    "  greentrainer plan --model opt-125m --passing rotating --freeze '*norm*'\n"
    "  greentrainer plan --model opt-2.7b --cost-model paper\n"
    "  greentrainer plan --model opt-125m --tensors '*.layers.11.*' --ranks 4\n"
    "Reads config.json alone, with --train the data and the tokenizer, too. The file of --importance is {\"tensor "
    "name\": importance, ...}; tensors that it leaves "
    "out have importance 0,\n"
    "and metrics.jsonl of a fine-tuning run has such objects. --rho bounds (forward + backward of the selection) / "
    "(forward + full backward).\n"
    "With --epochs the run is priced as well: FLOPs of each epoch with one selection for all, which is what a fixed "
    "choice trains, and green between\n"
    "two selections. --rho then bounds the run; with --prefix-cache it reaches deeper, since later epochs run the "
    "frozen part no more.\n"
    "Costs: exact are FLOPs (a multiply-add is 2) as the backend executes them, for packed sequences and causal "
    "attention; paper are\n"
    "multiply-adds by the rules published with GreenTrainer, for padded sequences with every token labelled.";

OrderedJson json_of(const PlannedRun& run) {
  return {{"examples", run.examples},
          {"steps", run.steps},
          {"epochs", run.forecast.epochs},
          {"total", run.forecast.total()},
          {"full", run.forecast.full},
          {"ratio", run.forecast.ratio()},
          {"saved_by_cache", run.forecast.saved},
          {"cached_below", run.cached_below},
          {"cached_bytes", run.forecast.cached_bytes},
          {"not_cached", run.not_cached}};
}

/// For people: epochs that cost the same in one row.
void print(const PlannedRun& run) {
  const auto amount = [](Flops flops) { return with_prefix(static_cast<double>(flops), "FLOPs"); };
  const std::vector<Flops>& epochs = run.forecast.epochs;
  std::vector<std::vector<std::string>> rows;
  for (std::size_t first = 0; first < epochs.size();) {
    std::size_t end = first + 1;
    while (end < epochs.size() && epochs[end] == epochs[first]) ++end;
    rows.push_back({end == first + 1 ? text("epoch ", end) : text("epochs ", first + 1, " to ", end, ", each"),
                    amount(epochs[first])});
    first = end;
  }
  rows.push_back({"all epochs", amount(run.forecast.total())});
  rows.push_back({"full fine-tuning", amount(run.forecast.full)});
  rows.push_back({"ratio", fixed(run.forecast.ratio(), 4)});
  if (!run.cached_below.empty()) {
    rows.push_back({"spared by cached values", amount(run.forecast.saved)});
    rows.push_back(
        {"cached", text("the values below ", run.cached_below, ", in ", bytes_text(run.forecast.cached_bytes))});
  }
  std::cout << "\nrun of " << epochs.size() << " epochs of " << run.examples << " examples, " << run.steps
            << " steps, with one selection:\n";
  print_table(rows);
  if (!run.not_cached.empty()) std::cout << "nothing is cached: " << run.not_cached << '\n';
}

OrderedJson json_of(const PlannedPassing& passing, const PlanReport& report) {
  return {{"exact_branches", passing.exact},         {"branches", passing.branches},    {"draws", passing.draws},
          {"backward_mean", passing.mean},           {"backward_least", passing.least}, {"backward_most", passing.most},
          {"ratio_mean", report.ratio(passing.mean)}};
}

/// For people: what changes in the course of a run.
void print_over_time(const PlanReport& report, const PlanOptions& options) {
  const auto amount = [](Flops flops) { return with_prefix(static_cast<double>(flops), "FLOPs"); };
  if (const auto& passing = report.passing) {
    print_table({{"branches that pass gradients exactly", text(passing->exact, " of ", passing->branches)},
                 {text("backward, mean of ", passing->draws, " draws"), amount(passing->mean)},
                 {"  least and most", amount(passing->least) + ", " + amount(passing->most)},
                 {"  ratio, mean", fixed(report.ratio(passing->mean), 4)}});
  }
  if (report.phases.empty()) return;
  std::vector<std::vector<std::string>> rows;
  Extent before = 0;
  for (const PlannedPhase& phase : report.phases) {
    rows.push_back({text("steps ", before + 1, " to ", before + phase.steps, ", rho ", phase.flops_ratio),
                    "at most " + amount(phase.most)});
    before += phase.steps;
  }
  const Flops most = most_of(report.phases);
  rows.push_back({"all phases", "at most " + amount(most)});
  rows.push_back({"full fine-tuning", amount(report.full_of_phases)});
  rows.push_back(
      {"ratio", "at most " + fixed(static_cast<double>(most) / static_cast<double>(report.full_of_phases), 4)});
  std::cout << "\nphases of " << before << " steps, with " << options.optimizer << ", without choosing:\n";
  print_table(rows);
}

OrderedJson json_of(const PlanReport& report, const PlanOptions& options) {
  OrderedJson json = {{"cost_model", options.cost_model}, {"unit", report.unit},     {"forward", report.forward},
                      {"backward", report.backward},      {"total", report.total()}, {"full", report.full}};
  json["tensors"] = OrderedJson::array();
  for (const auto& t : report.tensors) {
    json["tensors"].push_back(
        {{"name", t.name}, {"shape", t.shape}, {"grad_input", t.grad_input}, {"grad_weight", t.grad_weight}});
  }
  json["operators"] = OrderedJson::array();
  for (const auto& o : report.operators)
    json["operators"].push_back({{"name", o.name}, {"forward", o.forward}, {"grad_input", o.grad_input}});
  if (report.selection) {
    json["selection"] = OrderedJson::array();
    for (std::size_t i = 0; i < report.tensors.size(); ++i) {
      if (report.selection->mask()[i]) json["selection"].push_back(report.tensors[i].name);
    }
    json["selection_cost"] = report.selection_cost;
    json["ratio"] = report.ratio(report.selection_cost + report.recomputed);
  }
  json["recomputed"] = report.recomputed;
  json["recomputed_from"] = report.recomputed_from;
  if (report.run) json["run"] = json_of(*report.run);
  if (report.within_budget) json["budget"] = program::json_of(*report.within_budget);
  if (report.passing) json["passing"] = json_of(*report.passing, report);
  if (!report.phases.empty()) {
    json["phases"] = OrderedJson::array();
    for (const PlannedPhase& phase : report.phases)
      json["phases"].push_back({{"rho", phase.flops_ratio}, {"steps", phase.steps}, {"most", phase.most}});
    json["phases_most"] = most_of(report.phases);
    json["phases_full"] = report.full_of_phases;
  }
  json["memory_bytes"] = report.memory.total();
  json["memory"] = {{"weights", report.memory.weights},     {"gradients", report.memory.gradients},
                    {"optimizer", report.memory.optimizer}, {"activations", report.memory.activations},
                    {"workspace", report.memory.workspace}, {"batch", report.memory.batch},
                    {"scratch", report.memory.scratch}};
  json["memory_exact_sums_bytes"] = report.exact_sums;
  json["memory_save_copy_bytes"] = report.save_copy();
  json["memory_importance_bytes"] = report.memory_importance;
  json["importance_metric"] = options.importance_metric;
  json["ranks"] = {{"count", options.ranks}, {"sent_gradient_bytes", report.sent_gradient_bytes(options)}};
  return json;
}

void print(const PlanReport& report, const PlanOptions& options) {
  const auto amount = [&](std::int64_t cost) { return with_prefix(static_cast<double>(cost), report.unit); };
  const auto number = [&](std::int64_t cost) { return with_prefix(static_cast<double>(cost), ""); };
  std::vector<std::vector<std::string>> rows = {
      {"tensor", "shape", "grad_input", "grad_weight", report.selection ? "selected" : ""}};
  for (std::size_t i = 0; i < report.tensors.size(); ++i) {
    const auto& t = report.tensors[i];
    rows.push_back({t.name, shape_text(t.shape), number(t.grad_input), number(t.grad_weight),
                    report.selection && report.selection->mask()[i] ? "yes" : ""});
  }
  print_table(rows);
  if (!report.operators.empty()) {
    rows = {{"operator without parameters", "forward", "grad_input"}};
    for (const auto& o : report.operators) rows.push_back({o.name, number(o.forward), number(o.grad_input)});
    std::cout << '\n';
    print_table(rows);
  }

  std::cout << '\n' << options.model << ", " << report.batch << ", cost model " << options.cost_model << '\n';
  rows = {{"forward", amount(report.forward)},
          {"backward, full", amount(report.backward)},
          {"total, all of this graph's tensors", amount(report.total())}};
  if (report.full == report.total())
    rows.back().front() = "total, full";
  else
    rows.push_back({"total, full and exact", amount(report.full)});
  rows.push_back({report.run ? "smallest feasible --rho, without a cache" : "smallest feasible --rho",
                  fixed(std::ceil(1e4 * report.ratio(report.cheapest)) / 1e4, 4)});
  if (report.selection) {
    rows.push_back({"tensors selected", text(report.selection->count(), " of ", report.tensors.size())});
    rows.push_back({"backward, selection", amount(report.selection_cost)});
    rows.push_back({"ratio", fixed(report.ratio(report.selection_cost + report.recomputed), 4)});
  }
  if (report.recomputed > 0) {
    const std::int64_t trained = report.selection ? report.selection_cost : report.backward;
    rows.push_back(
        {"computed again",
         text(amount(report.recomputed), ", ",
              fixed(100.0 * static_cast<double>(report.recomputed) / static_cast<double>(report.forward + trained), 2),
              "% more, in ", report.recomputed_from.size(), " segments",
              report.recomputation_optimal ? "" : "; not proved to be the least")});
  }
  print_table(rows);
  std::cout << "memory (float, " << options.optimizer << "): " << memory_line(report.memory) << '\n'
            << "memory while importances are evaluated by " << options.importance_metric << ": "
            << bytes_text(report.memory_importance) << '\n';
  if (report.exact_sums > 0)
    std::cout << "exact sums of gradients, beside it: " << bytes_text(report.exact_sums) << '\n';
  std::cout << "copy that is saved while a run goes on, beside it, where there is room: "
            << bytes_text(report.save_copy()) << '\n';
  if (options.ranks > 1) {
    std::cout << options.ranks << " ranks: each sends " << bytes_text(report.sent_gradient_bytes(options))
              << " of gradients in a step, those of what is trained, "
              << (options.gradient_sums == "exact" ? "as exact sums\n" : "in float\n");
  }
  if (report.within_budget)
    std::cout << plan_line(*report.within_budget) << " with " << options.optimizer << ", without choosing\n";
  print_over_time(report, options);
  if (report.run) print(*report.run);
}

/// What belongs to a run of several epochs.
void check_run(const Command& command, PlanOptions& options) {
  options.cache.check(command);
  const auto needs = [&](const char* name, const char* other, bool given) {
    if (command.given(name) && !given)
      bad_usage("plan", text("--", name, ": expected --", other, " beside it, got none"));
  };
  const bool has_examples = command.given("examples") || command.given("train");
  needs("epochs", "examples or --train", has_examples);
  for (const char* name : {"examples", "train", "prefix-cache"}) needs(name, "epochs", command.given("epochs"));
  for (const char* name : {"train-rows", "max-tokens", "truncation", "dataset"})
    needs(name, "train", command.given("train"));
  if (command.either("train", "examples") == "examples") options.train.clear();
  if (options.exact_ending != "none") {
    parse_ending("plan", options.exact_ending);
    if (options.context_gradients == "exact" || options.tensors.empty())
      bad_usage("plan",
                "--exact-ending: expected --context-gradients keys or none, and --tensors, beside it, got "
                "exact gradients in all steps, or tensors that are chosen");
  }
  for (const char* name : {"epochs", "context-gradients"})
    if (options.cost_model == "paper") command.refuse(name, "cost-model", "--cost-model paper");
  if (!options.train.empty() && command.given("target-tokens")) options.data.target_tokens = options.target_tokens;
}

/// What changes in the course of a run.
void check_over_time(const Command& command, PlanOptions& options) {
  if (options.sampling == "importance")
    bad_usage("plan",
              "--sampling: expected off, got importance, whose draws cost at most --rho as the best choice does; "
              "leave it out");
  if (command.either("rho", "phases") == "rho") options.phases.clear();
  if (!options.phases.empty()) {
    parse_phases("plan", options.phases);
    command.require("steps");
    for (const char* name : {"tensors", "memory-limit", "epochs", "importance"})
      command.refuse(name, "phases", "--phases");
    if (options.cost_model == "paper") command.refuse("phases", "cost-model", "--cost-model paper");
  }
  if (options.passing == "exact") {
    command.refuse("passing-share", "passing", "--passing exact");
    return;
  }
  if (options.cost_model == "paper") command.refuse("passing", "cost-model", "--cost-model paper");
  for (const char* name : {"memory-limit", "epochs"}) command.refuse(name, "passing", "--passing rotating");
  if (options.rho > 0 || !options.phases.empty())
    bad_usage("plan",
              "--passing: expected exact beside --rho and --phases, which bound what each draw costs, got "
              "rotating; leave it out");
  if (!options.budget.empty())
    bad_usage("plan",
              "--passing: expected exact beside --budget, got rotating; finetune with these options says what "
              "its own draws cost before the first step");
}

void check(const Command& command, PlanOptions& options) {
  command.require("model");
  check_backend_name(command, options.backend);
  if (options.backend == "cuda")
    with_cuda({.name = "cuda"}, [](auto&) { return 0; });  // plans for it where it is; its FLOPs are the CPU's
  const std::string_view chosen = command.either("rho", "tensors");
  if (chosen == "rho") options.tensors.clear();
  if (chosen == "tensors") options.rho = 0;
  if (command.given("rho") && !command.given("importance")) {
    bad_usage("plan",
              "--importance: expected a file with the tensors' importances beside --rho, got none; see greentrainer "
              "plan --help");
  }
  if (command.given("memory-limit")) parse_bytes("--memory-limit", options.memory_limit, "plan", 1);
  for (const char* name : {"memory-limit", "freeze"})
    if (options.cost_model == "paper") command.refuse(name, "cost-model", "--cost-model paper");
  check_run(command, options);
  check_over_time(command, options);
  if (options.budget.empty()) {
    if (options.phases.empty()) command.refuse("steps", "budget", "a plan without --budget or --phases");
    command.refuse("budget-cuts", "budget", "a plan without --budget");
    command.refuse("exact-ending", "budget", "a plan without --budget");
  } else {
    parse_counted_budget("plan", options.budget, options.budget_cuts);
    command.require("steps");
    for (const char* name : {"memory-limit", "epochs"}) command.refuse(name, "budget", "a plan with --budget");
    if (options.cost_model == "paper") command.refuse("budget", "cost-model", "--cost-model paper");
  }
  if (options.frozen_format == "source")
    bad_usage("plan", "--frozen-format: expected the format's name, since weights are not looked at, got source");
  parse_frozen_format("plan", options.frozen_format);
  if (options.frozen_format != "none" && !command.given("tensors") && !command.given("rho"))
    bad_usage("plan", "--frozen-format: expected --tensors or --rho beside it, since else everything is trained");
  if (options.importance_metric.empty())
    options.importance_metric = options.frozen_format == "none" ? "paper" : "first-order";
  if (options.frozen_format != "none" && options.importance_metric.starts_with("paper")) {
    bad_usage("plan",
              text("--importance-metric: expected one that leaves weights as they are with --frozen-format, got ",
                   options.importance_metric));
  }
  if (options.gradient_sums == "exact") command.refuse("memory-limit", "gradient-sums", "--gradient-sums exact");
  if (options.cost_model == "paper") command.refuse("worth", "cost-model", "--cost-model paper");
  if (options.selector == "paper") {
    for (const char* name : {"freeze", "worth"}) command.refuse(name, "selector", "--selector paper");
  }
  for (const char* name : {"importance", "selector", "worth"}) {
    if (command.given(name) && !command.given("rho"))
      bad_usage("plan", text("--", name, ": expected --rho beside it, got none"));
  }
}

int run(const Command& command, const PlanOptions& options) {
  const ModelSource source = open_model("plan", options.model);
  const auto config = ConfigReader::from_files(source.files, "config.json");
  const PlanReport report = make_plan_report(config, command, options);
  for (const std::string& note : report.notes) say("note: " + note);
  if (options.json)
    print_json(json_of(report, options));
  else
    print(report, options);
  return 0;
}

}  // namespace

Command make_plan_command() {
  const auto options = std::make_shared<PlanOptions>();
  Command command("plan", "What would training cost? FLOPs and memory by tensor, from config.json alone", examples);
  command.text("model", options->model, "DIR", "Model folder or GGUF file; its config.json or metadata are read");
  command.whole("batch-size", options->batch_size, 1, "Sequences in a batch (4)", 1 << 20);
  command.whole("tokens", options->tokens, 1, "Tokens in a sequence; of the source, for encoder-decoder models (512)",
                1 << 20);
  command.whole("labelled-tokens", options->labelled_tokens, 1, "Of these, tokens that carry loss (all)", 1 << 20);
  command.whole("target-tokens", options->target_tokens, 1,
                "Target tokens in a sequence, for encoder-decoder models (64)", 1 << 20);
  command.choice("cost-model", options->cost_model, {"exact", "paper"},
                 "exact: executed FLOPs; paper: the published multiply-adds (exact)");
  command.whole("ranks", options->ranks, 1, "Ranks that train together: what each sends in a step (1)", 1 << 20);
  command.choice(
      "gradient-sums", options->gradient_sums, {"fast", "exact"},
      "As finetune's; exact: one example in a pass, and for --ranks, each sends four times the bytes (fast)");
  command.list("tensors", options->tensors, "GLOB,...", "Price training these tensors");
  command.list("freeze", options->freeze, "GLOB,...", "Tensors that are not trained, whatever is chosen (none)");
  command.number("rho", options->rho, 0, true,
                 "Choose tensors within this share of full fine-tuning; needs --importance", 1);
  command.list("phases", options->phases, "RHO:SHARE%,...",
               "Price a run of --steps whose rho changes with time, as finetune's; needs no --importance (none)");
  command.choice("sampling", options->sampling, {"off", "importance"},
                 "finetune's: importance costs no more than --rho, and is refused here (off)");
  command.choice("passing", options->passing, {"exact", "rotating"},
                 "rotating: price the backward pass over 50 draws of finetune's residual branches (exact)");
  command.number("passing-share", options->passing_share, 0, true,
                 "rotating: share of the residual branches that pass gradients exactly (0.25)", 1);
  command.text("importance", options->importance, "FILE", "JSON object from tensor name to importance");
  command.choice("worth", options->worth, {worth_names.begin(), worth_names.end()},
                 "What a transformer block is worth by the importances chosen of it, as finetune's (additive)");
  command.choice("importance-metric", options->importance_metric, {importance_names.begin(), importance_names.end()},
                 "Metric whose memory is planned, as finetune's --importance (paper; first-order with "
                 "--frozen-format)");
  command.choice("selector", options->selector, {"exact", "paper", "ratio"},
                 "How to choose (exact; paper with --cost-model paper)");
  command.text(
      "memory-limit", options->memory_limit, "BYTES",
      "What a training step, and the evaluation of importances, may take: activations are computed again where "
      "they do not fit (none)");
  command.whole("epochs", options->epochs, 1, "Price so many passes over the data with one selection, too", 1000000);
  command.whole("examples", options->examples, 1, "Examples of an epoch, each a sequence as above", 10000000);
  command.text("train", options->train, "FILE", "Instead of --examples: training data, whose lengths are taken");
  declare_rows(command, "train-rows", options->data.rows, "Rows of --train to use (all)");
  declare_data(command, options->data);
  declare_packing(command, options->data);
  options->cache.declare(command);
  command.text("budget", options->budget, "40TFLOP|0.5x",
               "Plan a run of --steps within it, as finetune does: FLOPs, or a share of full fine-tuning");
  command.whole("steps", options->steps, 1, "Optimizer steps of the run that --budget or --phases is for", most_steps);
  command.choice("budget-cuts", options->budget_cuts, {"batch", "steps"},
                 "What there is less of: examples in a batch, or steps (batch)");
  command.choice("context-gradients", options->context_gradients, {"exact", "keys", "none"},
                 "none: gradients do not go through tokens without a label; keys: they end at these tokens' keys and "
                 "values; as in finetune (exact)");
  command.text(
      "exact-ending", options->exact_ending, "none|rest|X%",
      "Beside --budget: last steps with exact gradients behind those of --context-gradients: so many of all, or "
      "rest: as many as the budget pays for (none)");
  command.choice("optimizer", options->optimizer, {optimizer_names.begin(), optimizer_names.end()},
                 "Whose state and updates are planned, as finetune's, without momentum (adamw)");
  command.text("frozen-format", options->frozen_format, "NAME",
               "What weights that are not trained are stored in, as in finetune (none)");
  command.text("backend", options->backend, "NAME", "Whose FLOPs: eigen, or cuda, which are the same (eigen)");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command& self) { return run(self, *options); };
  return command;
}

}  // namespace greentrainer::program
