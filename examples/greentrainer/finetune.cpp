// greentrainer finetune: from a Hugging Face folder and JSON lines to a fine-tuned folder.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "finetune_options.hpp"
#include "finetune_report.hpp"
#include "finetune_trainer.hpp"
#include "kept_times.hpp"
#include "machine.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "saved_loss.hpp"
#include "saved_states.hpp"
#include "saving.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct TrainingData {
  Dataset train, validation;
};

template <Backend B>
TrainingData load_training_data(const PretrainedModel<B>& model, const FinetuneOptions& options, Surroundings& around) {
  const Tokenizer* tokenizer = model.has_tokenizer() ? &model.tokenizer() : nullptr;
  TrainingData all;
  auto& [train, validation] = all;
  train = load_data(options.train, tokenizer, model.facts(), options.data);
  if (!options.validation.empty()) {
    DataChoice choice = options.data;
    choice.rows = options.validation_rows;
    validation = load_data(options.validation, tokenizer, model.facts(), choice);
  }
  around.rows_dropped = static_cast<std::size_t>(train.rows_dropped + validation.rows_dropped);
  around.rows_truncated = static_cast<std::size_t>(train.rows_truncated + validation.rows_truncated);
  around.turns_dropped = static_cast<std::size_t>(train.turns_dropped + validation.turns_dropped);
  around.ignored_keys = train.ignored_keys;
  for (const auto& [key, count] : validation.ignored_keys) around.ignored_keys[key] += count;
  return all;
}

/// What was chosen, and what follows from it.
void say_selection(const SelectionRecord& record, std::size_t parameters, bool cached_on_disk) {
  std::string line = text("step ", record.step, ": training ", record.names.size(), " of ", parameters, " tensors");
  if (record.budget > 0) {
    line += ", backward " + cost_text(record.cost, record.unit) + " of at most " +
            cost_text(record.budget, record.unit) + " until the next selection";
  }
  if (record.recomputed > 0) {
    line += "; " + cost_text(record.recomputed, record.unit) + " are computed again in " +
            text(record.recomputed_from.size()) + " segments to keep the memory limit" +
            (record.recomputation_optimal ? "" : ", which is not proved to be the least");
  }
  if (!record.cached_below.empty()) {
    line += "; values below " + record.cached_below + " are cached, in " + bytes_text(record.cached_bytes) +
            (cached_on_disk ? " on disk" : " beside the memory of training");
  }
  say(line);
  if (!record.not_cached.empty()) say("note: nothing is cached until the next selection: " + record.not_cached);
  const auto negative =
      std::count_if(record.importance.begin(), record.importance.end(), [](const auto& one) { return one.second < 0; });
  const std::string advice = overshoot_advice(static_cast<double>(negative) /
                                              static_cast<double>(std::max<std::size_t>(1, record.importance.size())));
  if (!advice.empty()) say("note: " + advice);
  if (record.names.empty())
    say("note: no tensor that fits has a positive importance: nothing is trained until the next selection");
  if (record.importance_memory.total() > 0)
    say("memory while importances were evaluated: " + memory_line(record.importance_memory));
  say("memory of training: " + memory_line(record.memory));
}

/// What --context-gradients none leaves out of these examples.
std::string context_line(const Dataset& train) {
  Workload all;
  for (const Example& example : train.examples) all += workload_of(example);
  return text("gradients are approximate: they do not go through tokens without a label, ",
              fixed(100.0 * static_cast<double>(all[Measure::context_tokens]) /
                        static_cast<double>(all[Measure::decoder_tokens]),
                    1),
              "% of all");
}

/// A signal has ended the run.
template <Backend B>
int end_at_signal(Trainer<B>& trainer, SavedStates& states) {
  const std::string after = text("[finetune] stopped by a signal after step ", trainer.steps_done());
  if (!states.saves() || trainer.steps_done() == 0)
    say(after + "; nothing was written");
  else
    say(text(after, "; saved in ", states.save(trainer).string(), ", where the same command goes on"));
  return 130;
}

template <Backend B>
int finetune(B& backend, const FinetuneOptions& options) {
  const auto start = Clock::now();
  EnergyMeter energy;
  watch_for_interrupts();
  Surroundings around;
  around.memory_at_start = resident_memory();
  expect_inputs_outside(options.output, {options.model, options.train, options.validation});
  const auto output =
      open_output("finetune", options.output, {.overwrite = options.overwrite, .among_others = {}, .on_notice = {}});

  FitOptions fit = fit_options(options);

  auto model =
      load_pretrained(std::filesystem::path(options.model), backend, options.adapters.graph_options(options.method),
                      static_cast<std::uint64_t>(options.seed));
  SaveChoice saving{.as_adapter = options.adapters.as_adapter(options.method),
                    .dtype = options.save_dtype.empty() ? std::optional<DType>() : parse_dtype(options.save_dtype)};
  check_saving(model, *output, saving);
  const TrainingData data = load_training_data(model, options, around);
  const Dataset& train = data.train;
  around.load_seconds = since(start);

  Model<B> trained = trained_model(model, options);
  Trainer<B> trainer = make_trainer(trained, options);
  const auto& graph = trained.graph();
  around.method = options.method;
  around.is_auto = options.is_auto;
  around.context_gradients = options.context_gradients;
  say_if_not_native();
  if (options.is_auto) {
    std::string targets;
    for (const std::string& target : options.adapters.lora_targets) targets += (targets.empty() ? "" : ",") + target;
    say(text("method auto: --method lora --lora-targets ", targets, " --learning-rate ", options.learning_rate));
  }
  say(text(model.facts().model_type, ", ", graph.parameters().size(), " tensors, ",
           with_prefix(static_cast<double>(parameter_elements(graph)), ""), " weights; ", train.examples.size(),
           " examples; backend ", backend.name()));
  if (detaches_context(options)) say(context_line(train));
  around.saved_dtype = saving.as_adapter ? name_of(DType::float32) : saved_dtype_name(model, saving.dtype);
  Metrics metrics;
  Progress progress(peak_of(backend));
  fit.validation = data.validation.examples;
  if (fit.budget.seconds > 0) {
    fit.budget.times = with_optimizer(options, [&](const auto& optimizer) {
      return std::make_shared<OperatorTimes>(
          times_of(trained, std::span<const Example>(train.examples), fit.batch_size, optimizer));
    });
    if (options.method == "green") trainer.use_cost_model(TimeCost<B>(fit.budget.times));
  }
  if (fit.budget.is_set()) say(plan_line(trainer.plan_run(train.examples, fit)));
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
    if (!record.skipped) return;
    progress.clear();
    say(text("warning: step ", record.step, " is skipped: its loss or a gradient is not finite"));
  };
  fit.on_selection = [&](const SelectionRecord& record) {
    metrics.selection(record);
    progress.clear();
    say_selection(record, graph.parameters().size(), options.prefix_cache.mode == "disk");
  };
  fit.on_warning = [&](const std::string& warning) {
    progress.clear();
    say("warning: " + warning);
  };
  fit.should_stop = interrupted;
  fit.also_depends_on = run_facts(options);
  trainer.start(train.examples, fit);
  SavedStates states(output->states(), parse_save_interval(options.save_every), options.keep);
  if (states.resume(trainer, options.resume, options.other_build)) {
    const TrainingReport so_far = trainer.report();
    metrics.replay(so_far);
    progress.go_on_from(so_far);
  }
  while (trainer.step()) states.save_when_due(trainer);
  TrainingReport report = trainer.finish();
  progress.clear();
  if (report.stopped || interrupted()) return end_at_signal(trainer, states);

  if (!saving.as_adapter) take_saved_loss(model, sample, saving.dtype, progress, report, around);
  const auto save_start = Clock::now();
  if (report.loss_before) metrics.evaluation("before", *report.loss_before);
  if (report.loss_after) metrics.evaluation("after", *report.loss_after, around.loss_after_unrounded);
  saving.ends = train.end_of_turn_ids;
  save_trained(model, *output, saving, metrics.lines());
  states.remove_all();
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

int run(const FinetuneOptions& options) {
  return with_backend(options.backend, [&](auto& backend) { return finetune(backend, options); });
}

}  // namespace

Command make_finetune_command() {
  const auto options = std::make_shared<FinetuneOptions>();
  Command command("finetune", "Train a model on data and save it", finetune_examples);
  declare(command, *options);
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options](const Command&) { return run(*options); };
  return command;
}

}  // namespace greentrainer::program
