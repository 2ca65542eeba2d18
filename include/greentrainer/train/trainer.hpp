#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "greentrainer/ops/expert.hpp"
#include "greentrainer/optim/adafactor.hpp"
#include "greentrainer/optim/adagrad.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/lion.hpp"
#include "greentrainer/optim/rmsprop.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "greentrainer/train/round_selection.hpp"
#include "greentrainer/train/run_evaluation.hpp"
#include "greentrainer/train/trainer_state.hpp"

namespace greentrainer {

/// Fine-tunes a model: the tensors that GreenOptions choose, or a fixed selection. Weights, gradients and optimizer
/// state stay on the model's backend. The same seed gives the same bits, for any number of threads. It shares the
/// model: either may be moved, and the model may go out of scope first.
template <Backend B>
class Trainer {
 public:
  using T = typename B::Scalar;

  /// GreenTrainer, with an optimizer by its options (AdamWOptions, SgdOptions and others of optim/). Throws ConfigError
  /// for options out of range.
  template <class OptimizerOptions>
  Trainer(Model<B>& model, GreenOptions green, const OptimizerOptions& optimizer)
      : Trainer(model, make_optimizer(model.backend(), optimizer), std::move(green)) {}
  /// The same tensors throughout: select_all (full fine-tuning), select_last_layers, select_biases, select_norms,
  /// select_listed. Throws ConfigError for options out of range, and for a selection that is not this graph's or empty.
  template <class OptimizerOptions>
  Trainer(Model<B>& model, Selection selection, const OptimizerOptions& optimizer)
      : Trainer(model, make_optimizer(model.backend(), optimizer), std::move(selection)) {}

  /// Replaces the metric that GreenOptions name. This and the next two throw ConfigError where there is nothing to
  /// choose, or nothing is given.
  void use_importance(std::unique_ptr<Importance<B>> importance) {
    parts_.choice.use_importance(std::move(importance));
  }
  /// Replaces the exact selector.
  template <Selector S>
  void use_selector(S selector) {
    use_selector(SelectFunction(
        [selector = std::move(selector)](const SelectionProblem& problem) { return selector.select(problem); }));
  }
  void use_selector(SelectFunction select) { parts_.choice.use_selector(std::move(select)); }
  /// Replaces the FLOPs that tensors are chosen by: GreenOptions::flops_ratio is then a share of the cost of training
  /// all that the graph has, in the cost model's unit. What the report counts as FLOPs stays FLOPs.
  template <CostModel<TensorGraph<B>> C>
  void use_cost_model(C cost) {
    parts_.choice.use_cost_model(std::move(cost));
  }

  /// Makes gradients approximate, and a deep gradient nearly free: residual branches pass the identity to the stream
  /// below them, but for a share of them, drawn anew with every selection, that passes gradients exactly. Losses are
  /// the model's, the budget holds for what is drawn, and importances are measured with exact gradients. Without a call
  /// all gradients are exact. Throws ConfigError for options out of range, for PassingOptions::every beside
  /// GreenOptions, and for a model without such branches. docs/decisions/0039-identity-passing.md
  void use_passing(const PassingOptions& options) {
    if (run_ && !run_->is_finished)
      throw ConfigError("Trainer", "use_passing", "expected to be called before start, got a call within a run");
    parts_.choice.use_passing(options);
  }

  /// Makes the last steps of every run through another graph over the same weights, whose gradients cost more and are
  /// better, say exact ones behind those of with_detached_context. Optimizer state, schedule and the selection, which
  /// must be a fixed one, go on; losses of evaluations in these steps are of that graph. Throws ConfigError for options
  /// out of range, for GreenOptions, and for a model of other parameters. docs/decisions/0053-an-exact-ending.md
  void use_ending(Model<B>& model, const EndingOptions& options = {}) {
    if (run_ && !run_->is_finished)
      throw ConfigError("Trainer", "use_ending", "expected to be called before start, got a call within a run");
    check_options(options);
    expect_option(parts_.choice.fixed() != nullptr, "Trainer", "use_ending", "a trainer with a fixed selection",
                  "one that chooses by GreenOptions");
    expect_option(&model.parameters() == &parts_.model.parameters(), "Trainer", "use_ending",
                  "a model over the weights that are trained, see Model::with_graph", "one with weights of its own");
    parts_.ending = Ending<B>{model.share(), options};
  }

  /// Makes this trainer a rank of several that train one model: each has the same model, examples and options, and runs
  /// its share of every step's examples, of every evaluation and of the batches that importances are taken from. All
  /// have the same weights then, and the same report but for seconds. The communicator must outlive the trainer.
  /// docs/decisions/0032-data-parallelism.md
  template <Communicator C>
  void use_communicator(C& communicator) {
    if (run_ && !run_->is_finished)
      throw ConfigError("Trainer", "use_communicator", "expected to be called before start, got a call within a run");
    parts_.ranks = Ranks(communicator);
  }

  /// What fit does with these examples and options: how many steps it takes, on batches of how many examples, for how
  /// many FLOPs. Looks at the examples' lengths alone. Throws as fit does before its first pass.
  RunPlan plan_run(std::span<const Example> examples, const FitOptions& options) const {
    check(examples, options);
    std::optional<RunPricing<B, TimeCost<B>>> times, at_power;
    const auto price = [&](auto& prices, std::shared_ptr<const OperatorTimes> by) {
      prices.emplace(parts_.model, parts_.choice, options, run_times(by, *parts_.optimizer, options));
      prices->use_ending(parts_.ending ? &*parts_.ending : nullptr);
    };
    if (options.budget.is_timed()) price(times, options.budget.times);
    if (options.budget.joules > 0)
      price(at_power, std::make_shared<const OperatorTimes>(at_mean_power(*options.budget.times)));
    RunPlan plan = greentrainer::plan_run(pricing(options), times ? &*times : nullptr, at_power ? &*at_power : nullptr,
                                          examples, options);
    plan.average = std::ranges::any_of(parts_.model.graph().operators(),
                                       [](const auto& node) { return node.op->kind() == Expert::kind; });
    if (parts_.ending && parts_.ending->options.share) plan.ending_steps = parts_.ending->options.steps(plan.steps);
    plan.exact = parts_.choice.fixed() != nullptr && !plan.average;
    return plan;
  }

  /// Trains: the loop below, which uses nothing private and may be copied. Throws as `start` and `step` do.
  TrainingReport fit(std::span<const Example> examples, const FitOptions& options) {
    start(examples, options);
    while (step()) {
    }
    return finish();
  }
  /// The same for anything with a member `examples`, such as a Dataset.
  template <class Data>
  requires requires(const Data& data) { std::span<const Example>(data.examples); }
  TrainingReport fit(const Data& data, const FitOptions& options) {
    return fit(std::span<const Example>(data.examples), options);
  }

  /// Begins a run: the examples must live until it is finished. Throws DataError for examples that no batch can hold,
  /// ConfigError for options out of range and a budget that cannot be met, as far as the first selection goes. A run
  /// with a budget is the one that plan_run says; steps that would exceed the budget all the same, since tensors are
  /// chosen on the way, are not made.
  void start(std::span<const Example> examples, const FitOptions& given) {
    const auto started = TrainingClock::now();
    check(examples, given);
    run_.reset();
    FitOptions options = given;
    parts_.report = {};
    if (given.budget.is_set()) {
      parts_.report.plan = plan_run(examples, given);
      options.steps = parts_.report.plan.steps;
      options.batch_size = parts_.report.plan.batch_size;
    }
    TrainingRun run{.options = options,
                    .batches = {examples, options, parts_.model.graph().window()},
                    .sample = {examples, options}};
    run.started = started;
    if (parts_.ending) {
      const Extent steps = run.batches.steps();
      const Extent last =
          parts_.ending->options.share ? parts_.ending->options.steps(steps) : parts_.report.plan.ending_steps;
      if (last > 0) run.ending_from = steps - last;
      run.identity["ending"] = text(last, " steps");
    }
    parts_.choice.take_anew(run.ending_from);
    expect_option(options.schedule.warmup_steps <= run.batches.steps(), "fit", "schedule.warmup_steps",
                  text("at most the run's ", run.batches.steps(), " steps"), options.schedule.warmup_steps);
    parts_.profile.reset();
    parts_.best.reset();
    if (options.keep_best) parts_.best.emplace();
    prepare(run.batches, run.sample.examples(), options);
    if (options.energy && options.energy()) parts_.report.joules = 0;
    parts_.report.evaluated = {run.sample.examples().size(), run.sample.of(), run.sample.held_out()};
    run.changed = select_none(parts_.model.graph());
    run.identity["model"] = identity_of(parts_.model);
    run.identity["train"] = identity_of(examples);
    run.identity["optimizer"] = parts_.optimizer->description();
    run.identity["backend"] = detail::arithmetic_of(parts_.model.backend());
    run.identity["build"] = detail::build_text();
    add_identity(run.identity, given);
    if (const RunPlan& plan = parts_.report.plan; plan.is_timed())  // which follows from measured times
      run.identity["planned"] = text(plan.steps, " steps of batch size ", plan.batch_size);
    parts_.choice.add_identity(run.identity);
    warn_of_single_draw(run);
    run_.emplace(std::move(run));
  }

  /// Makes the next step, after the evaluation and the choice of tensors that are due. False, without a step, where the
  /// run is over: all is done, the next step would exceed the budget, evaluations have not become better for
  /// FitOptions::patience evaluations, or `should_stop` returned true. Throws DataError for examples that the model
  /// cannot read, ConfigError for a budget that the tensors of this round cannot meet, and NumericalError when the loss
  /// is no longer a number; weights are then as the last step left them.
  bool step() {
    TrainingRun& run = this->run("step");
    if (run.is_finished)
      throw ConfigError("step", "Trainer", "expected a run that is not finished, got a call after finish");
    expect_same_run_on_ranks(run);
    TrainingReport& report = parts_.report;
    const TensorChoice<B>& choice = parts_.choice;
    const FitOptions& options = run.options;
    RunEvaluation<B> evaluation(parts_, run);
    if (!evaluation.make_due()) return false;
    const Extent step = run.next_step;
    if (step == run.batches.steps()) return false;
    report.patience_over = evaluation.patience_is_over();
    if (report.patience_over) return false;
    report.stopped = parts_.ranks.any(report.stopped || (options.should_stop && options.should_stop()));
    if (report.stopped) return false;
    parts_.begin_energy(options);
    const bool choosing = !run.selection_made && step == choice.next(step, run.batches);
    const auto round = choice.round(step, run.batches);
    report.budget_reached = choosing && !affords(choice.importance_flops(run.batches, round));
    if (report.budget_reached) return false;
    if (choosing) RoundSelection<B>(parts_, run).select(round);
    if (choosing && choice.in_step()) return true;  // which was this step
    if (choosing) parts_.count_energy(options);
    report.budget_reached = !affords(step_flops());
    if (report.budget_reached) return false;
    make_step(parts_, run);
    return true;
  }

  /// Ends a run and returns its report. Unless the run was asked to stop, makes the evaluation that is still due and
  /// ends with the weights that FitOptions::keep_best asks for.
  TrainingReport finish() {
    TrainingRun& run = this->run("finish");
    expect_same_run_on_ranks(run);
    if (!run.is_finished && !parts_.report.stopped) RunEvaluation<B>(parts_, run).finish();
    note_cached(parts_, run);
    run.is_finished = true;
    parts_.pass.keep_prefixes(nullptr, {}, 0);
    return report_so_far(parts_, run);
  }

  /// Whether there is a run: none before `start`, nor once `load` has failed in the middle.
  bool is_started() const { return run_.has_value(); }
  /// What the run did so far.
  TrainingReport report() const { return run_ ? report_so_far(parts_, *run_) : TrainingReport{}; }
  /// Steps of the run that are done.
  Extent steps_done() const { return run_ ? run_->next_step : 0; }
  /// Steps in which the run sees every example once.
  Extent steps_per_epoch() const { return run_ ? run_->batches.steps_per_epoch() : 0; }

  /// Writes the whole state of the run into a folder, which appears once it is complete; a state that was there is
  /// replaced. Call it between steps, from on_step, or after `finish` where the run was stopped. Throws SaveError,
  /// OutputInUse or OutputOccupied; the run can go on then. Of several ranks one saves: it has what all have.
  /// docs/decisions/0024-a-run-can-be-saved-and-continued.md
  void save(const std::filesystem::path& folder) {
    TrainingRun& run = run_to_save(folder);
    if (parts_.saving) parts_.saving->wait();
    StateFolder::write(folder, state_to_write(parts_, run));
    tell_saved(folder);
  }

  /// Saves the run as it is now, as `save` does, while the next steps are made: a thread writes a copy of the state,
  /// which lies in the host's memory. Where the copy takes more than `room` bytes, or more than memory_limit leaves
  /// beside the passes of what is trained now, or cannot be had, the state is written before this returns. Evaluations
  /// and choices of tensors, too, wait for the thread unless what they take, as planned, leaves room for the copy.
  /// `end_save` throws what fails, and must come before the next one. docs/decisions/0043-saved-beside-the-steps.md
  void begin_save(const std::filesystem::path& folder, Bytes room, const WriteState& write = StateFolder::write) {
    TrainingRun& run = run_to_save(folder);
    if (parts_.saving)
      throw ConfigError("begin_save", folder.string(), "expected end_save after the save before, got another save");
    const auto& selections = parts_.report.selections;
    const Bytes training = selections.empty() ? 0 : selections.back().memory.total();
    if (const Bytes limit = run.options.memory_limit; limit > 0) room = std::min(room, limit - training);
    parts_.saving.emplace(folder, state_to_write(parts_, run), CopyRoom{.training = training, .beside = room}, write);
    Bytes& most = parts_.report.memory.save_copy;
    most = std::max(most, parts_.saving->copied());
  }
  /// Whether a save was begun and not ended.
  bool is_saving() const { return parts_.saving.has_value(); }
  /// Whether there is such a save, and end_save would not wait.
  bool is_save_over() const { return parts_.saving && parts_.saving->is_over(); }
  /// Waits for the save that was begun, and returns its folder. Throws as `save` does.
  std::filesystem::path end_save() {
    if (!parts_.saving) throw ConfigError("end_save", "Trainer", "expected a save that was begun, got none");
    const std::filesystem::path folder = parts_.saving->folder();
    auto saving = std::exchange(parts_.saving, std::nullopt);
    saving->end();
    tell_saved(folder);
    return folder;
  }

  /// Continues a saved run. Call it after `start`, with the same model as it was before training, examples and
  /// options, instead of the first `step`. The run is then as if it had never been stopped, to the bit, times apart;
  /// values that a prefix cache held are computed again (`flops.refilled`). Every rank of several loads the same state,
  /// however many they were when it was saved. `other_build`: goes on even if another
  /// build or backend has saved it; what comes may then be rounded otherwise. Throws StateMismatch naming what is not
  /// as it was, and LoadError for a damaged state; the run is then as it was started, unless the file of a tensor turns
  /// out to be unreadable in the middle: then it must be started anew, with the weights that it began with.
  void load(const std::filesystem::path& folder, bool other_build = false) {
    TrainingRun& run = this->run("load");
    if (run.next_step > 0 || !run.is_whole)
      throw ConfigError("load", folder.string(), "expected to be called before the first step, got a call after it");
    try {
      load_run(parts_, run, folder, other_build);
    } catch (...) {
      if (!run.is_whole) run_.reset();  // half read: what is there now is no run
      throw;
    }
  }

  const Selection& selection() const { return parts_.selection; }
  Optimizer<B>& optimizer() { return *parts_.optimizer; }
  Bytes gradient_bytes() const { return parts_.gradients.bytes(); }
  /// The report, with what the ranks exchanged.
  const Ranks& ranks() const { return parts_.ranks; }

 private:
  template <class Choice>
  Trainer(Model<B>& model, std::unique_ptr<Optimizer<B>> optimizer, Choice choice)
      : parts_(model, std::move(optimizer), std::move(choice)) {}

  TrainingRun& run(const char* where) {
    if (!run_) throw ConfigError(where, "Trainer", "expected a run that was started, got none; call start before");
    return *run_;
  }

  /// Throws ConfigError unless the run is between two steps, and can go on.
  TrainingRun& run_to_save(const std::filesystem::path& folder) {
    TrainingRun& run = this->run("save");
    if (!run.is_whole)
      throw ConfigError("save", folder.string(), "expected to be called between steps, got a call within one");
    if (run.is_finished && !parts_.report.stopped)
      throw ConfigError("save", folder.string(), "expected a run that can go on, got one that is over");
    return run;
  }
  void tell_saved(const std::filesystem::path& folder) {
    if (run_ && run_->options.on_save) parts_.call_back([&] { run_->options.on_save(folder); });
  }

  /// Before the first step: throws ConfigError, on every rank, naming what a rank has otherwise than rank 0.
  void expect_same_run_on_ranks(TrainingRun& run) {
    if (run.is_agreed || parts_.ranks.is_alone()) return;
    RunIdentity identity = run.identity;
    identity["on_nan"] = run.options.on_nan == OnNonFinite::skip ? "skip" : "stop";
    identity["most_skipped"] = text(run.options.most_skipped);
    identity["exchange_bucket"] = text(run.options.exchange_bucket);
    identity["steps done"] = text(run.next_step);
    identity["loaded weights"] = run.next_step > 0 ? identity_of(parts_.model) : "none";
    expect_agreement(parts_.ranks, identity);
    run.is_agreed = true;
  }

  RunPricing<B> pricing(const FitOptions& options) const {
    RunPricing<B> prices(parts_.model, parts_.choice, options, run_flops(*parts_.optimizer, options));
    prices.use_ending(parts_.ending ? &*parts_.ending : nullptr);
    return prices;
  }

  void check(std::span<const Example> examples, const FitOptions& options) const {
    check_options(options);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
    expect_option(!options.budget.is_set() || (options.memory_limit == 0 && !parts_.choice.in_step()), "fit", "budget",
                  "none beside memory_limit or GreenOptions::importance_step, whose FLOPs no run is planned with yet",
                  "both");
    expect_option(options.memory_limit == 0 || !parts_.choice.in_step(), "fit", "memory_limit",
                  "0 beside GreenOptions::importance_step, whose step holds the gradients of all tensors",
                  options.memory_limit);
    const bool draws_alone = parts_.choice.rotation() != nullptr && parts_.choice.fixed() != nullptr;
    expect_option(!draws_alone || options.memory_limit == 0, "fit", "memory_limit",
                  "0 beside Trainer::use_passing with a fixed selection, whose later draws are not checked",
                  options.memory_limit);
    expect_option(!draws_alone || !options.budget.is_set() || options.prefix_cache == PrefixCacheMode::off, "fit",
                  "prefix_cache", "off beside a budget and Trainer::use_passing, with which no cache is planned",
                  "a cache");
    expect_option(options.memory_limit == 0 || !parts_.choice.has_phase_of_all(), "fit", "memory_limit",
                  "0 beside a phase of ratio 1, which leaves nothing out where memory is short", options.memory_limit);
    check_ranks(parts_.ranks, parts_.model.graph(), options);
    if (!parts_.ending) return;
    const RunBudget& budget = options.budget;
    expect_option(parts_.ending->options.share || (budget.is_set() && !budget.is_timed()), "fit", "budget",
                  "a budget in FLOPs beside an ending that takes what it leaves; or give EndingOptions::share",
                  budget.is_timed() ? "seconds or joules" : "none");
    expect_option(options.prefix_cache == PrefixCacheMode::off, "fit", "prefix_cache",
                  "off beside an ending, which goes through another graph", "a cache");
    expect_option(parts_.choice.rotation() == nullptr, "fit", "ending", "none beside Trainer::use_passing", "one");
  }

  /// A rotation of which the run sees one draw alone is none.
  void warn_of_single_draw(const TrainingRun& run) {
    if (parts_.choice.rotation() == nullptr || parts_.choice.next(1, run.batches) < run.batches.steps()) return;
    std::string warning = text("branches that pass gradients exactly are drawn once in this run of ",
                               run.batches.steps(), " steps; draw or select more often");
    if (run.options.on_warning) parts_.call_back([&] { run.options.on_warning(warning); });
    parts_.report.warnings.push_back(std::move(warning));
  }

  /// What a fit needs before its first pass. Throws ConfigError where its limits leave nothing to train.
  void prepare(const TrainingBatches& batches, std::span<const Example> evaluated, const FitOptions& options) {
    const auto& graph = parts_.model.graph();
    const Selection* fixed = parts_.choice.fixed();
    const auto highest =
        fixed != nullptr ? first_trained(graph, *fixed) : static_cast<OperatorId>(graph.operators().size());
    // Start afresh: weights and examples may have changed since an earlier fit.
    parts_.pass.keep_prefixes(make_prefix_store(graph, options, batches, highest), options.prefix_cache_type,
                              options.prefix_cache_limit);
    parts_.choice.check_phases_of(batches);
    for (const auto& round : parts_.choice.rounds_to_check(batches))
      parts_.choice.check_ratio(batches, round, RoundSelection<B>::forecasts(parts_, batches, round));
    for (const bool ending : {true, false}) {
      if (ending && !parts_.ending) continue;
      parts_.go_through(ending, batches, evaluated, options);
      if (options.memory_limit > 0)
        check_memory(parts_.trained().graph(), *parts_.memory, parts_.choice, batches, options);
    }
    parts_.full_cost = RunPricing<B>::full_cost(parts_.model);
  }

  /// FLOPs of a step that trains the present selection.
  Flops step_flops() const {
    CheckedInteger total = pricing(run_->options).update(parts_.selection);
    for (const auto& numbers : run_->batches.of_step(run_->next_step))
      total += parts_.pass.flops_of(run_->batches, numbers);
    return total.value();
  }
  /// FLOPs to come take the time that those before them took; at first, what was planned.
  bool affords(Flops coming) const {
    const TrainingReport& report = parts_.report;
    const RunPlan& plan = report.plan;
    if (plan.seconds > 0) {
      const double spent = report.training_seconds(), flops = static_cast<double>(coming);
      const double rate = report.spent() > 0 ? spent / static_cast<double>(report.spent())
                                             : plan.planned_seconds / static_cast<double>(plan.planned);
      return spent + flops * rate <= plan.seconds;
    }
    if (plan.joules > 0) {
      if (!report.joules) return false;  // it can no longer be read
      const double spent = *report.joules, flops = static_cast<double>(coming);
      const double rate = report.spent() > 0 ? spent / static_cast<double>(report.spent())
                                             : plan.planned_joules / static_cast<double>(plan.planned);
      return spent + flops * rate <= plan.joules;
    }
    return plan.budget == 0 || coming <= plan.budget - report.spent();
  }

  TrainerParts<B> parts_;
  std::optional<TrainingRun> run_;
};

template <class M, class Choice, class OptimizerOptions>
Trainer(M&, Choice, OptimizerOptions) -> Trainer<typename M::BackendType>;

}  // namespace greentrainer
