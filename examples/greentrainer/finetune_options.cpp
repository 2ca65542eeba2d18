#include "finetune_options.hpp"

#include <filesystem>
#include <span>

#include "console.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/io/sha256.hpp"
#include "greentrainer/pretrained/model_source.hpp"
#include "greentrainer/train/disk_prefix_store.hpp"
#include "optimizer_choice.hpp"
#include "option_values.hpp"

namespace greentrainer::program {

namespace {

Evaluations evaluations_of(const std::string& name) {
  if (name == "none") return Evaluations::none;
  if (name == "before") return Evaluations::before;
  return name == "after" ? Evaluations::after : Evaluations::both;
}

/// In bytes; 0: none.
Bytes memory_limit_of(const FinetuneOptions& options) {
  return options.memory_limit.empty() ? 0 : parse_bytes("--memory-limit", options.memory_limit, "finetune", 1);
}

}  // namespace

const char* const finetune_examples =
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
    "  greentrainer finetune --model opt-125m --train train.jsonl --output tuned --method auto --advice advice.json "
    "--budget 0.5x\n"
    "  greentrainer finetune --config run.toml --rho 0.4        # a flag wins over the file\n"
    "Methods: green (GreenTrainer: tensors chosen within --rho of full fine-tuning's FLOPs, and again every "
    "--reselect-every), full,\n"
    "  top2 or last:K (the last K transformer blocks), bitfit (biases), layernorm (weights and biases of the norms), "
    "listed (--tensors),\n"
    "  lora (low-rank matrices beside linear layers), prefix (learned keys and values in front of every layer's own),\n"
    "  auto (what scored best for half of full fine-tuning's FLOPs so far: lora with --lora-targets all-linear, "
    "--context-gradients keys, --learning-rate 1e-3 and, beside a budget in FLOPs, --exact-ending rest; give --budget "
    "0.5x;\n"
    "  or what greentrainer advise has found on your data: --advice).\n"
    "Data, one JSON object a line: {\"prompt\", \"completion\"}, {\"text\"}, {\"messages\": [{\"role\", \"content\"}]} "
    "(by the model's chat template, \"tools\" beside them) or {\"input_ids\", "
    "\"labels\"};\n"
    "  --dataset NAME reads a known set's own form.\n"
    "Output: a folder that transformers loads (with --adapter-output peft one that peft loads, beside the model), and "
    "in it metrics.jsonl (every "
    "step and selection). It appears when all is done; what was there\n"
    "  before is kept until then, and replaced only if this program wrote all of it, or with --overwrite. Ctrl-C stops "
    "after the current step, and saves the run\n"
    "  (OUTPUT.states); the same command then goes on from there, and its result is that of a run that was never "
    "stopped. A second Ctrl-C stops at once.";

std::string auto_text(const FinetuneOptions& options) {
  std::string line = "--method " + options.method;
  if (options.method == "lora" && !options.adapters.lora_targets.empty()) {
    std::string targets;
    for (const std::string& target : options.adapters.lora_targets) targets += (targets.empty() ? "" : ",") + target;
    line += " --lora-targets " + targets;
  }
  if (options.method == "green") line += text(" --rho ", options.rho, " --importance ", options.importance);
  if (options.context_gradients != "exact") line += " --context-gradients " + options.context_gradients;
  if (ends_exactly(options)) line += " --exact-ending " + options.exact_ending;
  return line + text(" --learning-rate ", options.learning_rate);
}

FitOptions fit_options(const FinetuneOptions& options) {
  FitOptions fit{.epochs = options.epochs,
                 .steps = options.steps,
                 .batch_size = options.batch_size,
                 .gradient_accumulation = options.gradient_accumulation,
                 .budget = budget_of(options),
                 .gradient_sums = options.gradient_sums == "exact" ? GradientSums::exact : GradientSums::fast,
                 .schedule = {.kind = LearningRateSchedule::parse(options.schedule), .warmup_steps = options.warmup},
                 .on_nan = options.on_nan == "skip" ? OnNonFinite::skip : OnNonFinite::stop,
                 .most_skipped = options.most_skipped,
                 .clip_norm = options.clip_norm,
                 .memory_limit = memory_limit_of(options),
                 .shuffle = !options.no_shuffle,
                 .seed = static_cast<std::uint64_t>(options.seed),
                 .evaluate = evaluations_of(options.evaluate),
                 .evaluation_examples = options.evaluation_examples,
                 .patience = options.patience};
  if (!options.evaluate_every.empty()) fit.evaluate_every = parse_interval("--evaluate-every", options.evaluate_every);
  auto output = std::filesystem::absolute(options.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  options.prefix_cache.set(fit, output.parent_path().string());
  if (fit.prefix_cache == PrefixCacheMode::disk) DiskPrefixStore{fit.prefix_cache_folder};
  return fit;
}

namespace {

/// Of the model's config.json, or of what stands for it.
std::string config_sum(const std::string& model) {
  const std::string config = open_model("finetune", model).files.read("config.json");
  Sha256 sum;
  sum.update(std::as_bytes(std::span(config)));
  return sum.finish();
}

}  // namespace

RunIdentity run_facts(const FinetuneOptions& options) {
  RunIdentity facts = {{"config.json", "sum " + config_sum(options.model)},
                       {"method", options.method},
                       {"context_gradients", options.context_gradients},
                       {"selector", options.selector},
                       {"exact_ending", options.exact_ending},
                       {"evaluation_tokens", text(options.evaluation_tokens)},
                       {"dependencies", options.dependencies}};
  facts["frozen_format"] = options.frozen_format;
  facts["precision"] = options.backend.precision;
  options.adapters.add_facts(options.method, facts);
  if (!options.from_adapter.empty()) {
    const std::filesystem::path adapter = options.from_adapter;
    facts["from_adapter"] = "sums " + sha256_of_file(adapter / "adapter_config.json") + ", " +
                            sha256_of_file(adapter / "adapter_model.safetensors");
  }
  return facts;
}

void declare(Command& command, FinetuneOptions& options) {
  command.text("model", options.model, "DIR", "Model folder in Hugging Face form (safetensors), or a GGUF file");
  command.text("train", options.train, "FILE",
               "Training data: JSON lines, or *.txt with a text on each line; gzip is taken, and - is standard input");
  command.text("validation", options.validation, "FILE",
               "Data for the loss before and after (some of the training data)");
  command.text("output", options.output, "DIR", "Folder to write the trained model to");
  command.text("method", options.method, "NAME",
               "green, full, top2, last:K, bitfit, layernorm, listed, lora, prefix or auto (green)");
  command.text("advice", options.advice, "FILE",
               "auto: what greentrainer advise --json has printed, whose options hold unless given here (none)");
  command.number(
      "rho", options.rho, 0, true,
      "green: share of full fine-tuning's FLOPs, forward and backward, or of its time with --budget 20min (0.5)", 1);
  command.list("phases", options.phases, "RHO:SHARE%,...",
               "green: in place of --rho, values of it that change with time, each for a share of the steps: "
               "1:10%,0.4:90% trains everything for the first tenth of the run, and within 0.4 then (none)");
  command.text("budget", options.budget, "40TFLOP|0.5x|20min|50kJ",
               "Limit of the whole run, evaluation not counted: in FLOPs, as a share of full fine-tuning of the same "
               "run, or in time, planned by measured times of the model's operators, or in energy, where it can be "
               "measured (none)");
  command.choice(
      "budget-cuts", options.budget_cuts, {"batch", "steps"},
      "What is reduced if --budget is too small: the batch size, with about as many steps, or the number of steps "
      "(batch)");
  command.number("carbon-intensity", options.carbon_intensity, 0, true,
                 "Grams of CO2 equivalent for a kilowatt-hour where this runs; the report then has grams, where energy "
                 "was measured (none)");
  command.list("tensors", options.tensors, "GLOB,...", "listed: names or globs of the tensors to train");
  command.list("freeze", options.freeze, "GLOB,...",
               "Names or globs of tensors that are never trained, with any method (none)");
  command.choice("importance", options.importance, {importance_names.begin(), importance_names.end()},
                 "green: metric of how much a tensor matters (paper)");
  command.whole("importance-batches", options.importance_batches, 1,
                "green: number of batches that importances are measured on (1)");
  command.on("importance-step", options.importance_step,
             "green, first-order: the step at which tensors are chosen trains all of them, and importances come from "
             "its gradients; its cost counts within --rho");
  command.choice(
      "worth", options.worth, {worth_names.begin(), worth_names.end()},
      "green: what a transformer block is worth by the importances chosen of it: their sum, its square root, "
      "or what tends to a limit (additive)");
  command.choice(
      "selector", options.selector, {"exact", "ratio", "random-at-depth"},
      "green: the best choice; greedy by importance per FLOP; or, as a control, random tensors as deep as the best "
      "choice reaches (exact)");
  command.choice("dependencies", options.dependencies, {"graph", "chain", "none"},
                 "green, for ablations: which dependencies between gradients the selector knows; with chain or none "
                 "its choices may exceed the budget (graph)");
  command.choice("sampling", options.sampling, {"off", "importance"},
                 "green: importance: instead of the best choice, tensors are drawn in proportion to their importance, "
                 "anew at each selection, within the same budget (off)");
  command.choice("context-gradients", options.context_gradients, {"exact", "keys", "none"},
                 "none: approximate gradients, which do not go through tokens without a label, so that the backward "
                 "pass computes labelled rows alone; keys: they go on to the weights that make these tokens' keys and "
                 "values (exact)");
  command.text(
      "exact-ending", options.exact_ending, "none|rest|X%",
      "Last steps with exact gradients behind those of --context-gradients: so many of all, or rest: as many as "
      "--budget pays for (none)");
  command.choice("passing", options.passing, {"exact", "rotating"},
                 "rotating: approximate gradients, which go through a random share of the residual branches alone to "
                 "what lies below; drawn anew every --reselect-every (exact)");
  command.number("passing-share", options.passing_share, 0, true,
                 "rotating: share of the residual branches that pass gradients exactly (0.25)", 1);
  command.text("reselect-every", options.reselect_every, "2e|100s",
               "green, and --passing rotating: epochs or steps between selections, or draws (2e)");
  command.text("frozen-format", options.frozen_format, "NAME",
               "What weights are stored in until they are trained: source, as in the model's files; bfloat16, float16, "
               "q8_0, q4_0 or nf4, which they are rounded to; or none: float32 (none)");
  options.adapters.declare(command);
  command.text(
      "from-adapter", options.from_adapter, "DIR",
      "lora, prefix: continue training the adapter in DIR, written with --adapter-output peft or by the library peft");
  command.whole("epochs", options.epochs, 1, "Passes over the data (1)");
  command.whole("steps", options.steps, 1, "Optimizer steps, instead of --epochs");
  command.whole("batch-size", options.batch_size, 1, "Examples in a pass (4)");
  command.whole("gradient-accumulation", options.gradient_accumulation, 1, "Passes in a step (1)");
  command.choice("gradient-sums", options.gradient_sums, {"fast", "exact"},
                 "exact: one example in a pass, and sums that do not depend on the order, so that weights have the "
                 "same bits for any number of ranks; for 16 bytes of memory a trained weight, and time (fast)");
  command.text("rank-timeout", options.rank_timeout, "60s|10min|none",
               "A rank that does not take part for so long after another ends the run, which names it; more than a "
               "step and a saved state take (10min)");
  command.number("learning-rate", options.learning_rate, 0, true, "Peak learning rate (2e-5)");
  command.whole("warmup", options.warmup, 0, "Steps over which the learning rate rises (0)");
  command.choice("schedule", options.schedule, {"linear", "cosine", "constant"}, "Learning rate after that (linear)");
  command.choice("optimizer", options.optimizer, {optimizer_names.begin(), optimizer_names.end()},
                 "Optimizer, as in torch.optim; lion as published. Each has its own usual --learning-rate: "
                 "docs/program.md (adamw)");
  command.number("momentum", options.momentum, 0, false, "sgd, rmsprop: momentum (0)", 1);
  command.number("weight-decay", options.weight_decay, 0, false,
                 "Weight decay, decoupled for adamw, lion and adafactor (adamw 0.01, others 0)");
  command.choice("no-decay-on", options.no_decay_on, {"none", "norms-and-biases"},
                 "Tensors without weight decay: norms-and-biases as transformers' Trainer (none)");
  command.number("clip-norm", options.clip_norm, 0, false, "Largest norm of the gradient; 0: any (0)");
  command.choice("on-nan", options.on_nan, {"stop", "skip"},
                 "What to do if the loss or a gradient is infinite or NaN: end the run and name the tensor and the "
                 "operator, or skip the step; the weights stay unharmed either way (stop)");
  command.whole("most-skipped", options.most_skipped, 0, "With --on-nan skip: the most steps that are skipped (10)",
                most_steps);
  declare_data(command, options.data);
  declare_target_tokens(command, options.data);
  declare_packing(command, options.data);
  declare_rows(command, "train-rows", options.data.rows,
               "Rows of --train to use: the first so many, or those from FROM, counted from 0, to before TO (all)");
  declare_rows(command, "validation-rows", options.validation_rows, "Rows of --validation to use (all)");
  command.choice("evaluate", options.evaluate, {"none", "before", "after", "both"},
                 "When to evaluate the loss, on the validation data or, without them, on training data (both)");
  command.whole("evaluation-examples", options.evaluation_examples, 1,
                text("Number of examples for evaluations, spread over the data (all of --validation, or ",
                     usual_evaluation_examples, " training examples)"),
                most_steps);
  command.text("evaluate-every", options.evaluate_every, "1e|100s",
               "Also evaluate during training, every so many epochs or steps; not counted in --budget (never)");
  command.choice("keep-best", options.keep_best,
                 {"loss", "accuracy", "rouge1", "rouge2", "rougeL", "rougeLsum", "exact_match", "f1"},
                 "Save the weights of the best evaluation on the --validation data, that after the last step included: "
                 "by the loss, by the accuracy of chosen labels, or by a score of generated answers (the last "
                 "weights)");
  command.whole("patience", options.patience, 1,
                "End the run after so many evaluations in a row without a better one (none)", most_steps);
  command.whole("evaluation-tokens", options.evaluation_tokens, 1,
                "Most tokens of an answer that --keep-best generates (64)", 1 << 20);
  options.prefix_cache.declare(command);
  options.prefix_cache.declare_folder(command);
  command.text(
      "memory-limit", options.memory_limit, "BYTES",
      "Limit of the memory for weights, gradients, optimizer, activations and cached values together; if necessary, "
      "activations are recomputed and fewer tensors are chosen (none)");
  command.whole("seed", options.seed, 0,
                "Seed of the order of the examples, new adapters, dropout, random importances and --sampling (0)");
  command.on("no-shuffle", options.no_shuffle, "Take the examples in the file's order");
  declare_backend(command, options.backend);
  command.choice(
      "save-dtype", options.save_dtype, {"float32", "float16", "bfloat16"},
      "Element type of the output; trained weights are rounded to 16 bits stochastically, without bias (each tensor's "
      "own)");
  command.text("save-every", options.save_every, "500|1e|10min|none",
               "How often the state of the run is saved beside --output, so that it can be continued: in steps, epochs "
               "or time; also when a signal ends the run. none: never (10min)");
  command.whole("keep", options.keep, 1, "Number of saved states to keep (2)");
  command.text("resume", options.resume, "auto|never|DIR",
               "auto: continue from the newest state that a run with the same --output left, if model, data and "
               "options are the same; never: start anew; DIR: continue from the state in DIR (auto)");
  command.on("other-build", options.other_build,
             "Also continue from a state of another build or backend; later numbers may then be rounded differently");
  command.text("tensorboard", options.tensorboard, "DIR",
               "Folder to which losses and other numbers are written for TensorBoard, during the run (none)");
  command.on("overwrite", options.overwrite, "Replace the folder --output even if this program did not write it");
  command.text("config", options.config, "FILE", "TOML file with any of these options");
  command.on("json", options.json, "Print one JSON object on stdout; progress goes to stderr anyway");
}

}  // namespace greentrainer::program
