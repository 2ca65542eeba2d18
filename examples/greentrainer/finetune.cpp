// greentrainer finetune: from a Hugging Face folder and JSON lines to a fine-tuned folder.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "backends.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "finetune_options.hpp"
#include "finetune_report.hpp"
#include "finetune_trainer.hpp"
#include "kept_times.hpp"
#include "machine.hpp"
#include "option_values.hpp"
#include "output.hpp"
#include "ranks.hpp"
#include "run_metric.hpp"
#include "run_watch.hpp"
#include "saved_loss.hpp"
#include "saved_states.hpp"
#include "saving.hpp"
#include "training_data.hpp"

namespace greentrainer::program {

namespace {

constexpr int interrupted_status = 130;

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

/// What --context-gradients leaves out of these examples.
std::string context_line(const Dataset& train, const FinetuneOptions& options) {
  Workload all;
  for (const Example& example : train.examples) all += workload_of(example);
  return text("gradients are approximate", ends_exactly(options) ? " until the ending" : "", ": they ",
              options.context_gradients == "none" ? "do not go through" : "end at keys and values of",
              " tokens without a label, ",
              fixed(100.0 * static_cast<double>(all[Measure::context_tokens]) /
                        static_cast<double>(all[Measure::decoder_tokens]),
                    1),
              "% of all");
}

/// What --passing rotating leaves out.
template <Backend B>
std::string passing_line(const TensorGraph<B>& graph, const FinetuneOptions& options) {
  const BranchRotation rotation(graph, {.exact_share = options.passing_share});
  return text("gradients are approximate: they go down through ", rotation.exact(), " of ", rotation.count(),
              " residual branches, drawn anew every ",
              text_of(parse_interval("--reselect-every", options.reselect_every)));
}

/// A signal has ended the run.
template <Backend B>
int end_at_signal(Trainer<B>& trainer, SavedStates& states) {
  const std::string after = text("[finetune] stopped by a signal after step ", trainer.steps_done());
  if (!states.saves() || trainer.steps_done() == 0)
    say(after + "; nothing was written");
  else
    say(text(after, "; saved in ", states.save(trainer).string(), ", where the same command goes on"));
  return interrupted_status;
}

/// Goes on where a run stopped, all ranks from the state that the first has found. False where there is none.
template <Backend B>
bool resume(Trainer<B>& trainer, SavedStates& states, const FinetuneOptions& options, LaunchedRanks* ranks) {
  if (ranks == nullptr) return !states.resume(trainer, options.resume, options.other_build).empty();
  std::string state;
  if (ranks->is_first()) state = states.resume(trainer, options.resume, options.other_build).string();
  state = ranks->exchange().gather(state, Traffic::control).front();
  if (!ranks->is_first() && !state.empty()) states.resume(trainer, state, options.other_build);
  return !state.empty();
}

/// Makes the run's steps, and ends it. `states`: where it is saved, or null. Whatever ends it, no save is going on
/// then.
template <Backend B>
TrainingReport make_run(Trainer<B>& trainer, SavedStates* states) {
  try {
    while (trainer.step())
      if (states != nullptr) states->save_when_due(trainer);
    TrainingReport report = trainer.finish();
    if (states != nullptr) states->end_save(trainer);
    return report;
  } catch (...) {
    if (states != nullptr) states->end_save(trainer);
    throw;
  }
}

/// For a budget in time or energy: the times of the operators that it is planned by, which tensors are then chosen by,
/// too. Watts are not kept from one run to another, and measured now.
template <Backend B>
void take_times(Model<B>& trained, Trainer<B>& trainer, const Dataset& train, const FinetuneOptions& options,
                MachineEnergy& energy, FitOptions& fit) {
  if (!fit.budget.is_timed()) return;
  const bool in_joules = fit.budget.joules > 0;
  fit.budget.times = with_optimizer(trained, options, [&](const auto& optimizer) {
    return std::make_shared<OperatorTimes>(times_of(trained, std::span<const Example>(train.examples), fit.batch_size,
                                                    optimizer, in_joules, in_joules ? &energy : nullptr));
  });
  if (options.method != "green") return;
  const auto by_power = [&] { return std::make_shared<const OperatorTimes>(at_mean_power(*fit.budget.times)); };
  trainer.use_cost_model(TimeCost<B>(in_joules ? by_power() : fit.budget.times));
}

/// What is stored in --frozen-format, and which matrices are not.
template <Backend B>
void say_format(const Model<B>& model, const FinetuneOptions& options) {
  if (options.frozen_format == "none") return;
  std::map<std::string, std::size_t> stored;
  std::size_t others = 0;
  std::string named, formats;
  for (const Parameter& p : model.graph().parameters()) {
    if (p.format != nullptr) ++stored[option_name(*p.format)];
    if (p.format != nullptr || p.is_adapter() || p.shape.size() < 2) continue;
    if (++others <= 3) named += text(named.empty() ? ": " : ", ", p.name);
  }
  for (const auto& [format, count] : stored)
    formats +=
        text(formats.empty() ? "" : ", ", count, count == 1 ? " tensor is" : " tensors are", " stored as ", format);
  if (!stored.empty())
    say(text(formats, " until they are trained; weights take ", bytes_text(model.parameters().bytes())));
  if (others == 0) return;
  const StorageFormat* const format = parse_frozen_format("finetune", options.frozen_format);
  say(text("note: ", others, others == 1 ? " matrix stays" : " matrices stay", " float32, since ",
           format == nullptr    ? text("that is what the model's files have, or they cannot be stored otherwise")
           : format->block == 1 ? text("they are read by more than products and lookups")
                                : text(format->name, " has blocks of ", format->block, " of a row"),
           named, others > 3 ? ", ..." : ""));
}

/// What is to be done, before it is.
template <Backend B>
void say_task(const Trainer<B>& trainer, Model<B>& trained, const Dataset& train, const EvaluationSample& sample,
              const FinetuneOptions& options, const FitOptions& fit) {
  const auto& graph = trained.graph();
  say_if_not_native();
  if (options.is_auto) say("method auto: " + auto_text(options));
  say(text(trained.facts().model_type, ", ", graph.parameters().size(), " tensors, ",
           with_prefix(static_cast<double>(parameter_elements(graph)), ""), " weights; ", train.examples.size(),
           " examples; backend ", trained.backend().name()));
  say_format(trained, options);
  if (detaches_context(options)) say(context_line(train, options));
  if (rotates_branches(options)) say(passing_line(graph, options));
  const bool begins_at_zero = options.adapters.has_lora(options.method) && options.from_adapter.empty();
  if (options.optimizer == "adafactor" && begins_at_zero) {
    say("note: adafactor's rate is a share of each tensor's own size; LoRA's second matrices begin at zero, so that "
        "they move by a thousandth of --learning-rate a step");
  }
  if (fit.budget.is_set()) say(plan_line(trainer.plan_run(train.examples, fit)));
  if (fit.evaluate == Evaluations::none && !fit.evaluate_every) return;
  std::string when = options.evaluate == "none"   ? ""
                     : options.evaluate == "both" ? " before and after training"
                                                  : " " + options.evaluate + " training";
  if (fit.evaluate_every) when += text(when.empty() ? "" : ",", " every ", text_of(*fit.evaluate_every));
  say(text("evaluating ", sample.examples().size(), " of ", sample.of(),
           sample.held_out() ? " validation" : " training", " examples,", when));
}

/// Writes what was trained, and reports on it.
template <Backend B>
void save_and_report(PretrainedModel<B>& model, OutputFolder& output, const SaveChoice& saving,
                     const FinetuneOptions& options, RunWatch& watch, SavedStates& states, TrainingReport& report,
                     Surroundings& around) {
  const double save_start = watch.seconds();
  save_trained(model, output, saving, [&](const TextSink& sink) { write_metrics(report, around, sink); });
  states.remove_all();
  around.total_seconds = watch.seconds();
  around.save_seconds = around.total_seconds - save_start;
  if constexpr (requires { model.backend().memory().peak; }) around.device_peak = model.backend().memory().peak;
  around.energy = watch.energy.parts();
  if (options.json)
    print_json(json_of(report, around));
  else
    print_report(report, around, options.output);
}

/// `ranks`: null for one alone. The first of several writes and says what one alone does.
template <Backend B>
int finetune(B& backend, FinetuneOptions options, LaunchedRanks* ranks) {
  watch_for_interrupts();
  const bool is_first = ranks == nullptr || ranks->is_first();
  Surroundings around;
  around.memory_at_start = resident_memory();
  RunWatch watch(gpu_address(backend), peak_of(backend), options);
  around.method = options.method;
  around.passing = options.passing;
  around.gradient_sums = options.gradient_sums;
  around.backend = backend.name();
  around.frozen_format = options.frozen_format;
  around.keep_best = options.keep_best;
  around.evaluates_on_the_way = !options.evaluate_every.empty();
  around.is_auto = options.is_auto;
  around.carbon_intensity = options.carbon_intensity;
  expect_inputs_outside(options.output, {options.model, options.train, options.validation, options.from_adapter});
  std::unique_ptr<OutputFolder> output;
  if (is_first) {
    output =
        open_output("finetune", options.output, {.overwrite = options.overwrite, .among_others = {}, .on_notice = {}});
  }
  FitOptions fit = fit_options(options);
  if (fit.budget.joules > 0) expect_energy("finetune", "budget", watch.energy.problem());
  auto model = load_model(options, backend);
  if (options.context_where_possible && model.facts().target_shift)
    options.context_gradients = "exact", options.exact_ending = "none";
  around.context_gradients = options.context_gradients;
  SaveChoice saving{.as_adapter = options.adapters.as_adapter(options.method),
                    .dtype = options.save_dtype.empty() ? std::optional<DType>() : parse_dtype(options.save_dtype)};
  if (is_first) check_saving(model, *output, saving);
  around.saved_dtype = saving.as_adapter ? name_of(DType::float32) : saved_dtype_name(model, saving.dtype);
  const TrainingData data = load_training_data(model, options, around);
  const Dataset& train = data.train;
  saving.ends = train.end_of_turn_ids;
  fit.validation = data.validation.examples;
  fit.keep_best = run_metric(model, options);
  fit.also_depends_on = run_facts(options);
  around.load_seconds = watch.seconds();

  Model<B> trained = trained_model(model, options);
  std::optional<Trainer<B>> training(make_trainer(trained, options));
  Trainer<B>& trainer = *training;
  use_ending(trainer, model, options);
  if (ranks != nullptr) ranks->join(trainer);
  watch.follow(fit, trained.graph().parameters().size());
  take_times(trained, trainer, train, options, watch.energy, fit);
  const EvaluationSample sample(train.examples, fit);
  say_task(trainer, trained, train, sample, options, fit);
  trainer.start(train.examples, fit);
  SavedStates states(is_first ? output->states() : std::filesystem::path(), parse_save_interval(options.save_every),
                     options.keep);
  if (resume(trainer, states, options, ranks)) watch.go_on_from(trainer.report());
  if (is_first && !options.tensorboard.empty()) watch.write_events(options.tensorboard, trainer.steps_done());
  TrainingReport report = make_run(trainer, is_first ? &states : nullptr);
  watch.progress.clear();
  if (!is_first) return report.stopped ? interrupted_status : 0;
  if (report.stopped) return end_at_signal(trainer, states);
  around.ranks = trainer.ranks();
  training.reset();  // gradients and optimizer state make room for what saving takes
  trained.executor().release_memory();

  if (!saving.as_adapter && options.frozen_format != "none" && !options.memory_limit.empty())
    say("note: the loss is that of the weights in memory: those that are saved would take more than --memory-limit");
  else if (!saving.as_adapter)
    take_saved_loss(model, sample, saving.dtype, watch.progress, report, around);
  save_and_report(model, *output, saving, options, watch, states, report, around);
  return 0;
}

/// Ranks on one machine share its threads, unless told how many each has.
void share_threads(BackendChoice& backend, LaunchedRanks& ranks) {
  const int threads = threads_of_rank(ranks);
  if (backend.threads == 0) backend.threads = threads;
  say(text(ranks.size(), " ranks, ", backend.threads, backend.threads == 1 ? " thread" : " threads", " each"));
}

int run(FinetuneOptions options, LaunchedRanks* ranks) {
  if (ranks != nullptr) {
    for (const auto& [name, file] : {std::pair{"train", options.train}, {"validation", options.validation}}) {
      if (file == "-")
        bad_usage("finetune", text("--", name, ": expected a file with several ranks, of which the first alone has ",
                                   "standard input, got -"));
    }
    ranks->timeout(parse_duration("--rank-timeout", options.rank_timeout));
    share_threads(options.backend, *ranks);
  }
  return with_backend(options.backend, [&](auto& backend) { return finetune(backend, options, ranks); });
}

}  // namespace

Command make_finetune_command(LaunchedRanks* ranks) {
  const auto options = std::make_shared<FinetuneOptions>();
  Command command("finetune", "Train a model on data and save it", finetune_examples);
  declare(command, *options);
  command.check = [options](const Command& self) { check(self, *options); };
  command.run = [options, ranks](const Command&) { return run(*options, ranks); };
  return command;
}

}  // namespace greentrainer::program
