// greentrainer finetune: from a Hugging Face folder and JSON lines to a fine-tuned folder.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>

#include "adapter_choice.hpp"
#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "finetune_report.hpp"
#include "greentrainer/cost/memory_estimate.hpp"
#include "greentrainer/select/dependencies.hpp"
#include "greentrainer/select/greedy_selector.hpp"
#include "greentrainer/select/random_at_depth.hpp"
#include "greentrainer/train/trainer.hpp"
#include "machine.hpp"
#include "option_values.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "saved_loss.hpp"
#include "saving.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr const char* examples =
    "Examples:\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --validation dev.jsonl --output tuned --rho 0.5 "
    "--epochs 5\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --method full --steps 100 "
    "--learning-rate 1e-4\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --method listed --tensors "
    "'*.layers.11.*,*.bias'\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --method lora --learning-rate 2e-4 "
    "--adapter-output peft\n"
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --method lora --lora-targets "
    "all-linear "
    "--budget 0.5x\n"
    "  greentrainer finetune --config run.toml --rho 0.4        # a flag wins over the file\n"
    "Methods: green (GreenTrainer: tensors chosen within --rho of full fine-tuning's FLOPs, and again every "
    "--reselect-every), full,\n"
    "  top2 or last:K (the last K transformer blocks), bitfit (biases), layernorm (weights and biases of the norms), "
    "listed (--tensors),\n"
    "  lora (low-rank matrices beside linear layers), prefix (learned keys and values in front of every layer's own),\n"
    "  auto (what scored best for half of full fine-tuning's FLOPs so far: lora with --lora-targets all-linear and "
    "--learning-rate 1e-3; give --budget 0.5x).\n"
    "Data, one JSON object a line: {\"prompt\", \"completion\"}, {\"text\"}, {\"messages\": [{\"role\", \"content\"}]} "
    "or {\"input_ids\", "
    "\"labels\"};\n"
    "  --dataset NAME reads a known set's own form.\n"
    "Output: a folder that transformers loads (with --adapter-output peft one that peft loads, beside the model), and "
    "in it metrics.jsonl (every "
    "step and selection). It appears when all is done; what was there\n"
    "  before is kept until then, and replaced only if this program wrote all of it, or with --overwrite. Ctrl-C stops "
    "after the current step and writes nothing.";

struct Options {
  std::string model, train, validation, output, config;
  std::string method = "green", importance = "paper", selector = "exact", dependencies = "graph", reselect_every = "2e";
  std::vector<std::string> tensors;
  double rho = 0.5;
  std::string budget, budget_cuts = "batch";
  Extent importance_batches = 1;
  Extent epochs = 1, steps = 0, batch_size = 4, gradient_accumulation = 1;
  double learning_rate = 2e-5;
  Extent warmup = 0;
  std::string schedule = "linear", optimizer = "adamw";
  double weight_decay = 0, momentum = 0, clip_norm = 0;
  AdapterChoice adapters;
  DataChoice data;
  RowRange validation_rows;
  std::string evaluate = "both";
  Extent evaluation_examples = 0;
  std::string prefix_cache = "off", prefix_cache_limit = "4GiB";
  Extent seed = 0;
  bool no_shuffle = false;
  BackendChoice backend;
  std::string save_dtype;
  bool overwrite = false, json = false;
  bool is_auto = false;  ///< --method auto, which `method` is the choice of
};

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Of "last:K" and "top2"; nothing for other methods.
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

Evaluations evaluations_of(const std::string& name) {
  if (name == "none") return Evaluations::none;
  if (name == "before") return Evaluations::before;
  return name == "after" ? Evaluations::after : Evaluations::both;
}

/// Throws UsageError for one that is none.
RunBudget budget_of(const Options& options) {
  return options.budget.empty() ? RunBudget{} : parse_budget("finetune", options.budget, options.budget_cuts);
}

/// Sets what method auto leaves open.
void resolve_auto(const Command& command, Options& options) {
  if (options.method != "auto") return;
  options.is_auto = true;
  options.method = "lora";
  if (!command.given("lora-targets")) options.adapters.lora_targets = {std::string(all_linear)};
  if (!command.given("learning-rate")) options.learning_rate = 1e-3;
}

void check(const Command& command, Options& options) {
  resolve_auto(command, options);
  for (const char* name : {"model", "train", "output"}) command.require(name);
  check_backend(command, options.backend);
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
    for (const char* name : {"rho", "importance", "importance-batches", "reselect-every", "selector", "dependencies"})
      command.refuse(name, "method", "--method " + options.method);
  }
  if (options.validation.empty()) command.refuse("validation-rows", "validation", "training without --validation");
  if (options.evaluate == "none") command.refuse("evaluation-examples", "evaluate", "--evaluate none");
  if (options.method == "listed" && options.tensors.empty())
    bad_usage("finetune", "--tensors: expected names or globs beside --method listed, got none");
  if (options.method != "listed") command.refuse("tensors", "method", "--method " + options.method);
  options.adapters.check(command, options.method);
  if (options.optimizer != "sgd") command.refuse("momentum", "optimizer", "--optimizer " + options.optimizer);
  if (command.either("steps", "epochs") == "epochs") options.steps = 0;
  if (!command.given("weight-decay") && options.optimizer == "adamw")
    options.weight_decay = AdamWOptions{}.weight_decay;
  if (!options.save_dtype.empty()) parse_dtype(options.save_dtype);
  parse_interval(options.reselect_every);
  if (options.budget.empty()) command.refuse("budget-cuts", "budget", "training without --budget");
  budget_of(options);
  if (options.prefix_cache == "off") command.refuse("prefix-cache-limit", "prefix-cache", "--prefix-cache off");
  parse_bytes("--prefix-cache-limit", options.prefix_cache_limit);
}

template <Backend B>
Selection fixed_selection(const Model<B>& model, const Options& options) {
  const auto& graph = model.graph();
  if (const auto count = last_layers(options.method)) return select_last_layers(graph, model.facts(), *count);
  if (options.method == "bitfit") return select_biases(graph);
  if (options.method == "listed") return select_listed(graph, options.tensors);
  if (options.method == "lora" || options.method == "prefix") return select_adapters(graph);
  if (options.method == "layernorm") return select_norms(graph);
  return select_all(graph);
}

/// The workload of a batch of the longest examples, or of the longest sources with the longest targets: no batch needs
/// more memory.
Workload largest_workload(const std::vector<Example>& data, Extent batch_size) {
  const std::size_t count = std::min(data.size(), static_cast<std::size_t>(batch_size));
  const auto longest = [&](std::vector<Index> Example::*ids) {
    std::vector<std::size_t> order(data.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return (data[a].*ids).size() > (data[b].*ids).size(); });
    order.resize(count);
    return order;
  };
  std::vector<Example> batch;
  for (const std::size_t i : longest(&Example::input_ids)) batch.push_back(data[i]);
  const std::vector<std::size_t> sources = longest(&Example::source_ids);
  for (std::size_t i = 0; i < count; ++i) batch[i].source_ids = data[sources[i]].source_ids;
  std::vector<std::size_t> all(count);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return workload_of(collate(batch, all));
}

/// The selector, and what it is told of the graph. Told less than there is, it overspends: the budget is then what it
/// believes.
template <Backend B>
SelectFunction selector_of(const TensorGraph<B>& graph, const Options& options) {
  return [&graph, dependencies = options.dependencies, greedy = options.selector == "ratio",
          draws = options.selector == "random-at-depth",
          random = RandomAtDepthSelector(static_cast<std::uint64_t>(options.seed))](const SelectionProblem& problem) {
    const auto select = [&](const SelectionProblem& p) {
      if (draws) return random.select(p);
      return greedy ? ImportancePerFlopSelector{}.select(p) : ExactSelector{}.select(p);
    };
    if (dependencies == "chain") return select(with_chain_dependencies(graph, problem));
    if (dependencies == "none") return select(without_dependencies(problem));
    return select(problem);
  };
}

template <Backend B>
Trainer<B> make_trainer(PretrainedModel<B>& model, const Options& options) {
  const auto with = [&](const auto& optimizer) {
    if (options.method != "green") return Trainer<B>(model, fixed_selection(model, options), optimizer);
    Trainer<B> trainer(model,
                       GreenOptions{.flops_ratio = options.rho,
                                    .importance = options.importance,
                                    .importance_batches = options.importance_batches,
                                    .reselect_every = parse_interval(options.reselect_every)},
                       optimizer);
    trainer.use_selector(selector_of(model.graph(), options));
    return trainer;
  };
  if (options.optimizer == "sgd") {
    return with(SgdOptions{
        .learning_rate = options.learning_rate, .momentum = options.momentum, .weight_decay = options.weight_decay});
  }
  return with(AdamWOptions{.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
}

template <Backend B>
int finetune(B& backend, const Options& options) {
  const auto start = Clock::now();
  EnergyMeter energy;
  watch_for_interrupts();
  Surroundings around;
  expect_inputs_outside(options.output, {options.model, options.train, options.validation});
  const auto output =
      open_output("finetune", options.output, {.overwrite = options.overwrite, .among_others = {}, .on_notice = {}});

  auto model =
      load_pretrained(std::filesystem::path(options.model), backend, options.adapters.graph_options(options.method),
                      static_cast<std::uint64_t>(options.seed));
  SaveChoice saving{.as_adapter = options.adapters.as_adapter(options.method),
                    .dtype = options.save_dtype.empty() ? std::optional<DType>() : parse_dtype(options.save_dtype)};
  check_saving(model, *output, saving);
  const Tokenizer* tokenizer = model.has_tokenizer() ? &model.tokenizer() : nullptr;
  const Dataset train = load_data(options.train, tokenizer, model.facts(), options.data);
  Dataset validation;
  if (!options.validation.empty()) {
    DataChoice data = options.data;
    data.rows = options.validation_rows;
    validation = load_data(options.validation, tokenizer, model.facts(), data);
  }
  around.rows_dropped = static_cast<std::size_t>(train.rows_dropped + validation.rows_dropped);
  around.rows_truncated = static_cast<std::size_t>(train.rows_truncated + validation.rows_truncated);
  around.turns_dropped = static_cast<std::size_t>(train.turns_dropped + validation.turns_dropped);
  around.ignored_keys = train.ignored_keys;
  for (const auto& [key, count] : validation.ignored_keys) around.ignored_keys[key] += count;
  around.load_seconds = since(start);

  Trainer<B> trainer = make_trainer(model, options);
  const auto& graph = model.graph();
  const auto element_size = static_cast<Bytes>(sizeof(typename B::Scalar));
  const Bytes state = trainer.optimizer().state_bytes_per_element();
  around.method = options.method;
  around.is_auto = options.is_auto;
  say_if_not_native();
  if (options.is_auto) {
    std::string targets;
    for (const std::string& target : options.adapters.lora_targets) targets += (targets.empty() ? "" : ",") + target;
    say(text("method auto: --method lora --lora-targets ", targets, " --learning-rate ", options.learning_rate));
  }
  say(text(model.facts().model_type, ", ", graph.parameters().size(), " tensors, ",
           with_prefix(static_cast<double>(parameter_elements(graph)), ""), " weights; ", train.examples.size(),
           " examples; backend ", backend.name()));
  around.saved_dtype = saving.as_adapter ? name_of(DType::float32) : saved_dtype_name(model, saving.dtype);
  Metrics metrics;
  Progress progress(peak_of(backend));
  FitOptions fit{.epochs = options.epochs,
                 .steps = options.steps,
                 .batch_size = options.batch_size,
                 .gradient_accumulation = options.gradient_accumulation,
                 .budget = budget_of(options),
                 .schedule = {.kind = LearningRateSchedule::parse(options.schedule), .warmup_steps = options.warmup},
                 .clip_norm = options.clip_norm,
                 .prefix_cache = options.prefix_cache == "memory" ? PrefixCacheMode::memory : PrefixCacheMode::off,
                 .prefix_cache_limit = parse_bytes("--prefix-cache-limit", options.prefix_cache_limit),
                 .shuffle = !options.no_shuffle,
                 .seed = static_cast<std::uint64_t>(options.seed),
                 .validation = validation.examples,
                 .evaluate = evaluations_of(options.evaluate),
                 .evaluation_examples = options.evaluation_examples};
  Extent batch_size = options.batch_size;
  if (fit.budget.is_set()) {
    const RunPlan plan = trainer.plan_run(train.examples, fit);
    batch_size = plan.batch_size;
    say(plan_line(plan));
  }
  const Workload largest = largest_workload(train.examples, batch_size);
  if (options.method == "green" && (options.importance != "magnitude" && options.importance != "random")) {
    const auto metric = make_importance<B>(options.importance);
    const Extent elements = TransientGradients<B>::elements(graph) + metric->scratch_elements(graph);
    say("memory while importances are evaluated: " +
        memory_line(importance_memory(graph, select_none(graph), largest, element_size, state, elements,
                                      metric->saves_weights())));
  }
  const EvaluationSample sample(train.examples, fit);
  if (fit.evaluate != Evaluations::none) {
    say(text("evaluating ", sample.examples().size(), " of ", sample.of(),
             sample.held_out() ? " validation" : " training", " examples, ",
             options.evaluate == "both" ? "before and after" : options.evaluate, " training"));
  }
  fit.on_evaluation = [&](const EvaluationProgress& now) {
    progress.evaluation(now.done, now.of, now.after ? "after training" : "before training");
  };
  fit.on_step = [&](const StepRecord& record) {
    metrics.step(record);
    energy.sample();
    progress.step(record);
  };
  fit.on_selection = [&](const SelectionRecord& record) {
    metrics.selection(record);
    progress.clear();
    Selection selection = select_none(graph);
    for (const std::string& name : record.names) selection.insert(*graph.find(name));
    std::string line =
        text("step ", record.step, ": training ", record.names.size(), " of ", graph.parameters().size(), " tensors");
    if (record.budget > 0) {
      line += ", backward " + with_prefix(static_cast<double>(record.cost), "FLOPs") + " of at most " +
              with_prefix(static_cast<double>(record.budget), "FLOPs") + " until the next selection";
    }
    if (!record.cached_below.empty()) {
      line += "; values below " + record.cached_below + " are cached, in up to " + options.prefix_cache_limit +
              " beside the memory of training";
    }
    say(line);
    if (options.prefix_cache != "off" && record.cached_below.empty()) {
      say("note: nothing is cached until the next selection: a parameter at the bottom is trained, an operator below "
          "draws random numbers, or the limit and the steps to come let no example be read twice");
    }
    const auto negative = std::count_if(record.importance.begin(), record.importance.end(),
                                        [](const auto& one) { return one.second < 0; });
    const std::string advice = overshoot_advice(
        static_cast<double>(negative) / static_cast<double>(std::max<std::size_t>(1, record.importance.size())));
    if (!advice.empty()) say("note: " + advice);
    if (record.names.empty())
      say("note: no tensor that fits has a positive importance: nothing is trained until the next selection");
    say("memory of training: " + memory_line(training_memory(graph, selection, largest, element_size, state)));
  };
  fit.should_stop = interrupted;
  TrainingReport report = trainer.fit(train, fit);
  progress.clear();
  if (report.stopped || interrupted()) {
    say(text("[finetune] stopped by a signal after step ", report.steps, "; nothing was written"));
    return 130;
  }

  if (!saving.as_adapter) take_saved_loss(model, sample, saving.dtype, progress, report, around);
  const auto save_start = Clock::now();
  if (report.loss_before) metrics.evaluation("before", *report.loss_before);
  if (report.loss_after) metrics.evaluation("after", *report.loss_after, around.loss_after_unrounded);
  saving.ends = train.end_of_turn_ids;
  save_trained(model, *output, saving, metrics.lines());
  around.save_seconds = since(save_start);
  around.total_seconds = since(start);
  if constexpr (requires { backend.memory().peak; })
    around.device_peak = backend.memory().peak;  // and no joules: the meter counts processors alone
  else
    around.joules = energy.joules();
  if (options.json)
    print_json(json_of(report, around));
  else
    print_report(report, around, options.output);
  return 0;
}

int run(const Options& options) {
  return with_backend(options.backend, [&](auto& backend) { return finetune(backend, options); });
}

}  // namespace

Command make_finetune_command() {
  const auto options = std::make_shared<Options>();
  Command command("finetune", "Train a model on data and save it", examples);
  command.text("model", options->model, "DIR", "Model folder in Hugging Face form (safetensors)");
  command.text("train", options->train, "FILE", "Training data, JSON lines");
  command.text("validation", options->validation, "FILE",
               "Data for the loss before and after (some of the training data)");
  command.text("output", options->output, "DIR", "Folder to write the trained model to");
  command.text("method", options->method, "NAME",
               "green, full, top2, last:K, bitfit, layernorm, listed, lora, prefix or auto (green)");
  command.number("rho", options->rho, 0, true, "green: share of full fine-tuning's FLOPs, forward and backward (0.5)",
                 1);
  command.text("budget", options->budget, "40TFLOP|0.5x",
               "What the whole run may spend, evaluation apart: FLOPs, or a share of full fine-tuning of the run as "
               "asked for (any)");
  command.choice(
      "budget-cuts", options->budget_cuts, {"batch", "steps"},
      "What there is less of where --budget is short: examples in a batch, for about as many steps; or steps "
      "(batch)");
  command.list("tensors", options->tensors, "GLOB,...", "listed: names or globs of the tensors to train");
  command.choice("importance", options->importance, {importance_names.begin(), importance_names.end()},
                 "green: what a tensor is worth (paper)");
  command.whole("importance-batches", options->importance_batches, 1,
                "green: batches that importances are taken from (1)");
  command.choice(
      "selector", options->selector, {"exact", "ratio", "random-at-depth"},
      "green: exact; greedy by importance per FLOP; or random tensors as deep as the exact choice reaches, a "
      "control (exact)");
  command.choice("dependencies", options->dependencies, {"graph", "chain", "none"},
                 "green: what selection knows of the gradients that tensors need; less than the graph overspends, for "
                 "ablations (graph)");
  command.text("reselect-every", options->reselect_every, "2e|100s", "green: epochs or steps between selections (2e)");
  options->adapters.declare(command);
  command.whole("epochs", options->epochs, 1, "Passes over the data (1)");
  command.whole("steps", options->steps, 1, "Optimizer steps, instead of --epochs");
  command.whole("batch-size", options->batch_size, 1, "Examples in a pass (4)");
  command.whole("gradient-accumulation", options->gradient_accumulation, 1, "Passes in a step (1)");
  command.number("learning-rate", options->learning_rate, 0, true, "Peak learning rate (2e-5)");
  command.whole("warmup", options->warmup, 0, "Steps over which the learning rate rises (0)");
  command.choice("schedule", options->schedule, {"linear", "cosine", "constant"}, "Learning rate after that (linear)");
  command.choice("optimizer", options->optimizer, {"adamw", "sgd"}, "As torch.optim's (adamw)");
  command.number("momentum", options->momentum, 0, false, "sgd: momentum (0)", 1);
  command.number("weight-decay", options->weight_decay, 0, false, "Decoupled for adamw (adamw 0.01, sgd 0)");
  command.number("clip-norm", options->clip_norm, 0, false, "Largest norm of the gradient; 0: any (0)");
  declare_data(command, options->data);
  declare_target_tokens(command, options->data);
  declare_rows(command, "train-rows", options->data.rows,
               "Rows of --train to use: the first so many, or those from FROM, counted from 0, to before TO (all)");
  declare_rows(command, "validation-rows", options->validation_rows, "Rows of --validation to use (all)");
  command.choice("evaluate", options->evaluate, {"none", "before", "after", "both"},
                 "When the loss is taken on the validation data, or without them on training data (both)");
  command.whole("evaluation-examples", options->evaluation_examples, 1,
                text("Of how many examples, spread over the data (all of --validation, or ", usual_evaluation_examples,
                     " training examples)"),
                most_steps);
  command.choice(
      "prefix-cache", options->prefix_cache, {"off", "memory"},
      "Keep the values at the upper end of the frozen part of the model for each example, instead of running "
      "that part again (off)");
  command.text("prefix-cache-limit", options->prefix_cache_limit, "BYTES",
               "Of that cache; examples that do not fit are computed each time (4GiB)");
  command.whole("seed", options->seed, 0,
                "Of the order of the examples, new adapters, dropout and random importances (0)");
  command.on("no-shuffle", options->no_shuffle, "Take the examples in the file's order");
  declare_backend(command, options->backend);
  command.choice(
      "save-dtype", options->save_dtype, {"float32", "float16", "bfloat16"},
      "Element type of the output; where weights have changed, types of 16 bits are rounded to at random, right in the "
      "mean (each tensor's own)");
  command.on("overwrite", options->overwrite, "Replace what stands at --output even if this program did not write it");
  command.text("config", options->config, "FILE", "TOML file with any of these options");
  command.on("json", options->json, "Print one JSON object on stdout; progress goes to stderr anyway");
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
