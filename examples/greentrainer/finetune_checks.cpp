#include <algorithm>
#include <charconv>

#include "advice.hpp"
#include "finetune_options.hpp"
#include "greentrainer/data/data_file.hpp"
#include "greentrainer/data/dataset_row.hpp"
#include "optimizer_choice.hpp"
#include "option_values.hpp"
#include "saved_states.hpp"

namespace greentrainer::program {

namespace {

/// Sets what method auto leaves open: as advised, or as scored best so far.
void resolve_auto(const Command& command, FinetuneOptions& options) {
  if (options.method != "auto") {
    command.refuse("advice", "method", "--method " + options.method);
    return;
  }
  options.is_auto = true;
  NamedOptions all = {{"method", "lora"},
                      {"lora-targets", std::string(all_linear)},
                      {"learning-rate", "0.001"},
                      {"context-gradients", "keys"}};
  if (!options.advice.empty()) all = read_advice(options.advice);
  options.context_where_possible = options.advice.empty() && !command.given("context-gradients");
  for (const auto& [name, value] : all) {
    if (name == "method" || !command.given(name)) command.find(name)->set({value});
  }
  const bool leaves_flops = !options.budget.empty() && !budget_of(options).is_timed();
  if (leaves_flops && detaches_context(options) && !command.given("exact-ending") && !command.given("prefix-cache"))
    options.exact_ending = "rest";
}

/// Whether a metric is one of answers that are generated.
bool is_of_answers(const std::string& metric) {
  return metric.starts_with("rouge") || metric == "exact_match" || metric == "f1";
}

/// Which options go with evaluations on the way.
void check_evaluations(const Command& command, const FinetuneOptions& options) {
  const std::string& metric = options.keep_best;
  if (!options.evaluate_every.empty()) parse_interval("--evaluate-every", options.evaluate_every);
  if (options.evaluate_every.empty())
    command.refuse("keep-best", "evaluate-every", "training without --evaluate-every");
  if (metric.empty()) command.refuse("patience", "keep-best", "training without --keep-best");
  if (!is_of_answers(metric)) {
    command.refuse("evaluation-tokens", "keep-best",
                   metric.empty() ? "training without --keep-best" : "--keep-best " + metric);
  }
  if (metric.empty()) return;
  command.refuse("memory-limit", "keep-best", "--keep-best");
  if (options.validation.empty())
    bad_usage("finetune",
              "--keep-best: expected --validation beside it, got none; what is best on the training data is "
              "no more than learnt by heart");
  const bool chooses = has_choices(options.data), is_answer = task_of(options.data) == DatasetTask::answer;
  const auto goes_with = [&](bool fits, const char* data) {
    if (!fits) bad_usage("finetune", text("--keep-best: expected ", data, " for ", metric, ", got another one"));
  };
  if (metric == "accuracy") goes_with(chooses, "a --dataset whose labels are chosen from");
  if (metric.starts_with("rouge")) goes_with(!chooses && !is_answer, "data of summaries or completions");
  if (metric == "exact_match" || metric == "f1") goes_with(is_answer, "a --dataset of questions and answers");
}

/// Which options go with a method.
void check_method(const Command& command, FinetuneOptions& options) {
  const std::vector<std::string> methods = {"green",     "full",   "top2", "last:K", "bitfit",
                                            "layernorm", "listed", "lora", "prefix", "auto"};
  const bool known =
      std::find(methods.begin(), methods.end(), options.method) != methods.end() && options.method != "last:K";
  if (!known && !last_layers(options.method)) {
    bad_usage(
        "finetune",
        text("--method: expected green, full, top2, last:K, bitfit, layernorm, listed, lora, prefix or auto, got ",
             options.method, suggestion(options.method, methods)));
  }
  if (options.method != "green") {
    for (const char* name : {"rho", "importance", "importance-batches", "importance-step", "worth", "selector",
                             "dependencies", "sampling", "phases"})
      command.refuse(name, "method", "--method " + options.method);
    if (!rotates_branches(options)) command.refuse("reselect-every", "method", "--method " + options.method);
  }
  if (options.method == "listed" && options.tensors.empty())
    bad_usage("finetune", "--tensors: expected names or globs beside --method listed, got none");
  if (options.method != "listed") command.refuse("tensors", "method", "--method " + options.method);
  options.adapters.check(command, options.method);
  if (options.method != "lora" && options.method != "prefix")
    command.refuse("from-adapter", "method", "--method " + options.method);
  if (options.is_auto) command.refuse("from-adapter", "method", "--method auto");
  if (options.from_adapter.empty()) return;
  for (const char* name : {"lora-r", "lora-alpha", "lora-targets", "prefix-tokens"})
    command.refuse(name, "from-adapter", "--from-adapter");
}

/// Which options go with branches that pass the identity.
void check_passing(const Command& command, const FinetuneOptions& options) {
  if (!rotates_branches(options)) {
    command.refuse("passing-share", "passing", "--passing exact");
    return;
  }
  command.refuse("dependencies", "passing", "--passing rotating");
  if (options.method == "green") return;
  command.refuse("memory-limit", "passing", text("--passing rotating --method ", options.method));
  if (!options.budget.empty())
    command.refuse("prefix-cache", "passing", text("--passing rotating --budget --method ", options.method));
}

/// Which options go with an ending that has exact gradients.
void check_ending(const Command& command, const FinetuneOptions& options) {
  if (!ends_exactly(options)) return;
  const EndingOptions ending = parse_ending("finetune", options.exact_ending);
  if (!detaches_context(options))
    bad_usage("finetune",
              "--exact-ending: expected --context-gradients keys or none beside it, got exact gradients "
              "in all steps");
  if (options.method == "green" || rotates_branches(options))
    bad_usage("finetune", text("--exact-ending: expected a method that trains the same tensors throughout, got ",
                               options.method == "green" ? "--method green" : "--passing rotating"));
  command.refuse("prefix-cache", "exact-ending", "--exact-ending");
  if (!ending.share && (options.budget.empty() || budget_of(options).is_timed()))
    bad_usage("finetune", text("--exact-ending: expected --budget in FLOPs or as a share of full fine-tuning beside "
                               "rest, got ",
                               options.budget.empty() ? "none" : options.budget, "; or give a share such as 30%"));
}

/// Which options go with ratios that change.
void check_phases(const Command& command, FinetuneOptions& options) {
  if (command.either("rho", "phases") == "rho") options.phases.clear();
  if (options.phases.empty()) return;
  const std::vector<Phase> phases = parse_phases("finetune", options.phases);
  command.refuse("importance-step", "phases", "--phases");
  if (std::ranges::none_of(phases, [](const Phase& phase) { return phase.trains_all(); })) return;
  for (const char* name : {"memory-limit", "frozen-format"})
    command.refuse(name, "phases", "a phase that trains everything");
  if (options.adapters.candidates != "none") command.refuse("adapters", "phases", "a phase that trains everything");
  if (rotates_branches(options)) command.refuse("passing", "phases", "a phase that trains everything");
}

/// Weights that a format keeps narrow cannot be moved all at once.
void check_frozen_format(const Command& command, const FinetuneOptions& options) {
  parse_frozen_format("finetune", options.frozen_format);
  if (options.frozen_format == "none") return;
  if (options.method == "full")
    bad_usage("finetune", "--frozen-format: expected a method that leaves weights as they are, got --method full");
  command.refuse("importance-step", "frozen-format", "--frozen-format");
  if (options.method == "green" && options.importance.starts_with("paper")) {
    bad_usage(
        "finetune",
        text("--importance: expected first-order, adam-gain, gradient-norm, relative-gradient-norm, fisher, magnitude "
             "or random with --frozen-format, got ",
             options.importance, ", which moves all weights"));
  }
}

}  // namespace

std::optional<std::size_t> last_layers(const std::string& method) {
  if (method == "top2") return 2;
  if (!method.starts_with("last:")) return std::nullopt;
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(method.data() + 5, method.data() + method.size(), count);
  if (error != std::errc{} || end != method.data() + method.size() || count < 1) {
    bad_usage("finetune", text("--method: expected last:K with a number of layers, such as last:4, got ", method));
  }
  return count;
}

RunBudget budget_of(const FinetuneOptions& options) {
  return options.budget.empty() ? RunBudget{} : parse_budget("finetune", options.budget, options.budget_cuts);
}

void check(const Command& command, FinetuneOptions& options) {
  resolve_auto(command, options);
  for (const char* name : {"model", "train", "output"}) command.require(name);
  check_backend(command, options.backend);
  check_method(command, options);
  check_phases(command, options);
  check_frozen_format(command, options);
  check_passing(command, options);
  check_ending(command, options);
  if (options.train == standard_input && options.validation == standard_input)
    bad_usage("finetune", "--train and --validation: expected standard input for one of them, got it for both");
  if (options.validation.empty()) command.refuse("validation-rows", "validation", "training without --validation");
  if (options.evaluate == "none" && options.evaluate_every.empty())
    command.refuse("evaluation-examples", "evaluate", "--evaluate none");
  if (options.method == "green" && options.importance == "adam-gain" && options.optimizer != "adamw")
    bad_usage("finetune", text("--importance: expected another than adam-gain with --optimizer ", options.optimizer,
                               ", which has no moments of Adam's, got adam-gain"));
  if (options.optimizer != "sgd" && options.optimizer != "rmsprop")
    command.refuse("momentum", "optimizer", "--optimizer " + options.optimizer);
  if (command.either("steps", "epochs") == "epochs") options.steps = 0;
  if (!command.given("weight-decay"))
    options.weight_decay =
        with_default_options(options.optimizer, [](const auto& optimizer) { return optimizer.weight_decay; });
  if (options.weight_decay == 0) command.refuse("no-decay-on", "weight-decay", "--weight-decay 0");
  if (!options.freeze.empty()) command.refuse("importance-step", "freeze", "--freeze");
  if (!options.save_dtype.empty()) parse_dtype(options.save_dtype);
  parse_interval("--reselect-every", options.reselect_every);
  check_evaluations(command, options);
  options.prefix_cache.check(command);
  if (command.given("memory-limit")) parse_bytes("--memory-limit", options.memory_limit, "finetune", 1);
  if (options.gradient_sums == "exact") command.refuse("memory-limit", "gradient-sums", "--gradient-sums exact");
  parse_duration("--rank-timeout", options.rank_timeout);
  if (options.budget.empty()) command.refuse("budget-cuts", "budget", "training without --budget");
  if (!options.budget.empty()) {
    for (const char* name : {"memory-limit", "importance-step"}) command.refuse(name, "budget", "--budget");
  }
  if (!options.memory_limit.empty()) command.refuse("importance-step", "memory-limit", "--memory-limit");
  budget_of(options);
  if (options.on_nan != "skip") command.refuse("most-skipped", "on-nan", "--on-nan " + options.on_nan);
  parse_save_interval(options.save_every);
  if (options.save_every == "none") command.refuse("keep", "save-every", "--save-every none");
}

}  // namespace greentrainer::program
