#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/cache_obstacle.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "greentrainer/train/fit_memory.hpp"
#include "greentrainer/train/make_prefix_store.hpp"
#include "greentrainer/train/run_pricing.hpp"
#include "greentrainer/train/tensor_choice.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "greentrainer/train/training_options.hpp"
#include "greentrainer/train/training_pass.hpp"

namespace greentrainer {

/// Fine-tunes a model: the tensors that GreenOptions choose, or a fixed selection. Weights, gradients and optimizer
/// state stay on the model's backend. The same seed gives the same bits, for any number of threads. It shares the
/// model: either may be moved, and the model may go out of scope first.
template <Backend B>
class Trainer {
 public:
  using T = typename B::Scalar;

  /// GreenTrainer, with an optimizer by its options (AdamWOptions, SgdOptions). Throws ConfigError for options out of
  /// range.
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
  void use_importance(std::unique_ptr<Importance<B>> importance) { choice_.use_importance(std::move(importance)); }
  /// Replaces the exact selector.
  template <Selector S>
  void use_selector(S selector) {
    use_selector(SelectFunction(
        [selector = std::move(selector)](const SelectionProblem& problem) { return selector.select(problem); }));
  }
  void use_selector(SelectFunction select) { choice_.use_selector(std::move(select)); }
  /// Replaces the FLOPs that tensors are chosen by: GreenOptions::flops_ratio is then a share of the cost of training
  /// all that the graph has, in the cost model's unit. What the report counts as FLOPs stays FLOPs.
  template <CostModel<TensorGraph<B>> C>
  void use_cost_model(C cost) {
    choice_.use_cost_model(std::move(cost));
  }

  /// What fit does with these examples and options: how many steps it takes, on batches of how many examples, for how
  /// many FLOPs. Looks at the examples' lengths alone. Throws as fit does before its first pass.
  RunPlan plan_run(std::span<const Example> examples, const FitOptions& options) const {
    check(examples, options);
    RunPlan plan = greentrainer::plan_run(RunPricing<B>(model_, *optimizer_, choice_, options), examples, options);
    plan.exact = choice_.fixed() != nullptr;
    return plan;
  }

  /// Trains. Throws DataError for examples the model cannot read, ConfigError for options out of range and a budget
  /// that cannot be met, as far as the first selection goes before any pass, and NumericalError when the loss is no
  /// longer a number; weights are then as the last step left them. A run with a budget is the one that plan_run says;
  /// what would exceed the budget all the same, since tensors are chosen on the way, is not done.
  TrainingReport fit(std::span<const Example> examples, const FitOptions& given) {
    const auto start = Clock::now();
    check(examples, given);
    FitOptions options = given;
    RunPlan plan;
    if (given.budget.is_set()) {
      plan = plan_run(examples, given);
      options.steps = plan.steps;
      options.batch_size = plan.batch_size;
    }
    const TrainingBatches batches(examples, options);
    expect_option(options.schedule.warmup_steps <= batches.steps(), "fit", "schedule.warmup_steps",
                  text("at most the run's ", batches.steps(), " steps"), options.schedule.warmup_steps);
    report_ = {};
    report_.plan = plan;
    profile_.reset();
    const EvaluationSample sample(examples, options);
    prepare(batches, sample.examples(), options);
    report_.evaluated = {sample.examples().size(), sample.of(), sample.held_out()};
    const auto wanted = [&options](Evaluations when) {
      return options.evaluate == when || options.evaluate == Evaluations::both;
    };
    if (wanted(Evaluations::before)) report_.loss_before = timed_evaluation(sample.examples(), options, false);

    for (Extent step = 0; step < batches.steps(); ++step) {
      if (report_.stopped || (options.should_stop && options.should_stop())) {
        report_.stopped = true;
        break;
      }
      const bool choosing = step == choice_.next(step, batches);
      const auto round = choice_.round(step, batches);
      report_.budget_reached = choosing && !affords(choice_.importance_flops(batches, round));
      if (report_.budget_reached) break;
      if (choosing) select(batches, options, round);
      if (choosing && choice_.in_step()) continue;  // which was this step
      report_.budget_reached = !affords(step_flops(batches, options, step));
      if (report_.budget_reached) break;
      train_step(batches, options, step);
    }
    report_.seconds.forward = profile_.total().forward;
    report_.seconds.backward = profile_.total().backward;
    if (wanted(Evaluations::after) && !report_.stopped)
      report_.loss_after = timed_evaluation(sample.examples(), options, true);
    pass_.keep_prefixes(nullptr, {}, 0);
    report_.seconds.total = since(start) - report_.seconds.callbacks;
    return std::move(report_);
  }
  /// The same for anything with a member `examples`, such as a Dataset.
  template <class Data>
  requires requires(const Data& data) { std::span<const Example>(data.examples); }
  TrainingReport fit(const Data& data, const FitOptions& options) {
    return fit(std::span<const Example>(data.examples), options);
  }

  const Selection& selection() const { return selection_; }
  Optimizer<B>& optimizer() { return *optimizer_; }
  Bytes gradient_bytes() const { return gradients_.bytes(); }

 private:
  using Clock = std::chrono::steady_clock;
  using Round = typename TensorChoice<B>::Round;

  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  template <class Choice>
  Trainer(Model<B>& model, std::unique_ptr<Optimizer<B>> optimizer, Choice choice)
      : model_(model.share()),
        optimizer_(std::move(optimizer)),
        choice_(model_, *optimizer_, std::move(choice)),
        pass_(model_),
        with_state_(select_none(model.graph())),
        gradients_(model.backend()),
        norm_(model.backend(), 1, 1) {}

  void check(std::span<const Example> examples, const FitOptions& options) const {
    check_options(options);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
    expect_option(!options.budget.is_set() || (options.memory_limit == 0 && !choice_.in_step()), "fit", "budget",
                  "none beside memory_limit or GreenOptions::importance_step, whose FLOPs no run is planned with yet",
                  "both");
    expect_option(options.memory_limit == 0 || !choice_.in_step(), "fit", "memory_limit",
                  "0 beside GreenOptions::importance_step, whose step holds the gradients of all tensors",
                  options.memory_limit);
  }

  /// What a fit needs before its first pass. Throws ConfigError where its limits leave nothing to train.
  void prepare(const TrainingBatches& batches, std::span<const Example> evaluated, const FitOptions& options) {
    const auto& graph = model_.graph();
    const Selection* fixed = choice_.fixed();
    const auto highest =
        fixed != nullptr ? first_trained(graph, *fixed) : static_cast<OperatorId>(graph.operators().size());
    // Anew: weights and examples may be others than those of an earlier fit.
    pass_.keep_prefixes(make_prefix_store(graph, options, batches, highest), options.prefix_cache_type,
                        options.prefix_cache_limit);
    // The first selection, or all of them if each has a step that trains everything to pay for.
    for (Extent step = 0; fixed == nullptr && step < batches.steps(); step = choice_.next(step + 1, batches)) {
      const Round round = choice_.round(step, batches);
      choice_.check_ratio(batches, round, forecasts(batches, round));
      if (!choice_.in_step()) break;
    }
    memory_.emplace(
        graph, fit_demand(graph, batches, evaluated, options, optimizer_->state_bytes_per_element(), pass_.cache()));
    if (options.memory_limit > 0) check_memory(graph, *memory_, choice_, batches, options);
    full_cost_ = RunPricing<B>::full_cost(model_);
  }

  /// Runs what the caller gave. Its time counts as nothing else.
  template <class Call>
  void call_back(const Call& call) {
    const auto start = Clock::now();
    call();
    report_.seconds.callbacks += since(start);
  }

  double timed_evaluation(std::span<const Example> examples, const FitOptions& options, bool after) {
    const auto start = Clock::now();
    const double callbacks_before = report_.seconds.callbacks;
    model_.executor().release_memory();
    EvaluateOptions how{.should_stop = options.should_stop};
    const std::optional<Cut> cut = cached_cut();
    how.batch_size = memory_->evaluation_batch(held(), cut);
    report_.memory.evaluation =
        std::max(report_.memory.evaluation, memory_->evaluation(how.batch_size, held(), cut).total());
    if (options.on_evaluation) {
      how.on_pass = [&](std::size_t done) {
        call_back([&] { options.on_evaluation({.done = done, .of = examples.size(), .after = after}); });
      };
    }
    const Evaluation evaluation = evaluate(model_, examples, how);
    report_.flops.evaluation += evaluation.flops;
    report_.stopped = report_.stopped || evaluation.examples.size() < examples.size();
    report_.seconds.evaluation += since(start) - (report_.seconds.callbacks - callbacks_before);
    return evaluation.loss;
  }

  std::optional<Cut> cached_cut() const { return pass_.cache() == nullptr ? std::nullopt : pass_.cache()->cut(); }
  /// Whose gradients and optimizer state there are.
  Selection held() const { return selection_.mask().empty() ? select_none(model_.graph()) : selection_; }

  /// Bytes by which the evaluation after training, if there is one, exceeds the limit.
  Bytes evaluation_excess(const Selection& held, const std::optional<Cut>& cut, const FitOptions& options) const {
    const bool evaluates = options.evaluate == Evaluations::after || options.evaluate == Evaluations::both;
    return evaluates ? memory_->excess(memory_->evaluation(1, held, cut)) : 0;
  }

  /// Says what the cache had to go without, and counts what it has.
  void look_at_cache(const FitOptions& options) {
    if (pass_.cache() == nullptr) return;
    report_.cached_bytes = std::max(report_.cached_bytes, pass_.cache()->store().bytes());
    for (std::string& warning : pass_.cache()->store().take_warnings()) {
      if (options.on_warning) call_back([&] { options.on_warning(warning); });
      report_.warnings.push_back(std::move(warning));
    }
  }

  /// Empty where nothing is to be cached.
  std::vector<CutForecast> forecasts(const TrainingBatches& batches, const Round& round) const {
    const PrefixCache<B>* cache = pass_.cache();
    if (cache == nullptr) return {};
    return forecast_cache(model_.graph(), cacheable_cuts(model_.graph()), cache->room(), batches, round.first,
                          round.end, cache->cut(), &cache->store());
  }

  Flops updates_of(const Selection& selection, const FitOptions& options) const {
    return RunPricing<B>(model_, *optimizer_, choice_, options).update(selection);
  }
  /// FLOPs of a step that trains the present selection.
  Flops step_flops(const TrainingBatches& batches, const FitOptions& options, Extent step) const {
    CheckedInteger total = updates_of(selection_, options);
    for (const auto& numbers : batches.of_step(step)) total += pass_.flops_of(batches, numbers);
    return total.value();
  }
  bool affords(Flops coming) const {
    return report_.plan.budget == 0 || coming <= report_.plan.budget - report_.spent();
  }

  /// What is trained, and how its passes are made.
  struct Chosen {
    std::optional<Cut> cut;
    typename MemoryLimit<B>::Pass pass;
  };

  /// Chooses what is trained in a round. With GreenOptions::importance_step, makes the step in front of it.
  void select(const TrainingBatches& batches, const FitOptions& options, const Round& round) {
    SelectionRecord record{.step = round.first, .names = {}, .importance = {}};
    model_.executor().release_memory();  // an evaluation, or an earlier selection, may have needed more
    std::vector<double> importance;
    if (choice_.in_step()) importance = train_in_full(batches, options, round.chosen_at, record.importance_memory);
    const auto start = Clock::now();
    const std::vector<CutForecast> with_cache = forecasts(batches, round);
    report_.seconds.selection += since(start);
    Chosen chosen;
    if (choice_.fixed() != nullptr) {
      chosen = take_fixed(batches, round, with_cache, options, record);
    } else {
      gradients_.select(model_.graph(), select_none(model_.graph()));
      if (!choice_.in_step()) importance = evaluate_importance(batches, options, round, record.importance_memory);
      chosen = choose(batches, round, importance, with_cache, options, record);
    }
    pass_.select(selection_, chosen.cut, chosen.pass.segments, memory_->room());
    if (chosen.cut) {
      record.cached_below = model_.graph().op(chosen.cut->op).name;
      for (const CutForecast& f : with_cache) record.cached_bytes += f.cut == *chosen.cut ? f.bytes : 0;
    } else if (options.prefix_cache != PrefixCacheMode::off) {
      record.not_cached = why_not_cached(model_.graph(), selection_, std::span(with_cache));
    }
    for (const DroppedSegment& segment : chosen.pass.segments)
      record.recomputed_from.push_back(model_.graph().op(segment.first).name);
    record.memory = chosen.pass.memory;
    record.recomputation_optimal = chosen.pass.optimal;
    report_.memory.training = std::max(report_.memory.training, record.memory.total());
    model_.executor().release_memory();  // importance may have needed more
    gradients_.select(model_.graph(), selection_);
    optimizer_->select(model_.graph(), selection_);
    with_state_ = selection_;
    record.names = names_of(model_.graph(), selection_);
    if (options.on_selection) call_back([&] { options.on_selection(record); });
    report_.selections.push_back(std::move(record));
  }

  Chosen take_fixed(const TrainingBatches& batches, const Round& round, std::span<const CutForecast> with_cache,
                    const FitOptions& options, SelectionRecord& record) {
    const auto& graph = model_.graph();
    const Workload coming = batches.workload_of_steps(round.first, round.end);
    selection_ = *choice_.fixed();
    Chosen chosen{.cut = best_cut(graph, ExactCost<B>{}, coming, with_cache, selection_), .pass = {}};
    chosen.pass = memory_->training(selection_, chosen.cut);
    if (chosen.cut && std::max(memory_->excess(chosen.pass), evaluation_excess(selection_, chosen.cut, options)) > 0) {
      chosen.cut.reset();  // the cache is what can be done without
      chosen.pass = memory_->training(selection_, chosen.cut);
    }
    record.recomputed = evaluate(pass_cost(graph, chosen.pass.plan, ExactCost<B>{}).recomputed, coming);
    return chosen;
  }

  Chosen choose(const TrainingBatches& batches, const Round& round, const std::vector<double>& importance,
                std::span<const CutForecast> with_cache, const FitOptions& options, SelectionRecord& record) {
    const auto start = Clock::now();
    const bool another_follows = round.end < batches.steps();
    LimitedSelection<B> limited = choice_.choose(
        batches, round, importance, with_cache, *memory_, [&](const Selection& held, const std::optional<Cut>& cut) {
          const Bytes again =
              another_follows ? memory_->excess(memory_->importance(choice_.importance_demand(), held, cut)) : 0;
          return std::max(again, evaluation_excess(held, cut, options));
        });
    report_.seconds.selection += since(start);
    const BudgetedSelection& chosen = limited.chosen;
    selection_ = chosen.selection;
    record.budget = chosen.budget;
    record.cost = chosen.cost;
    record.recomputed = limited.recomputed;
    record.unit = choice_.unit();
    record.optimal = chosen.optimal;
    record.gap = chosen.gap;
    for (std::size_t i = 0; i < importance.size(); ++i)
      record.importance[model_.graph().parameters()[i].name] = importance[i];
    return {.cut = chosen.cut, .pass = std::move(limited.pass)};
  }

  ImportanceContext<B> importance_context(std::span<const Batch> batches, const FitOptions& options, Extent step) {
    return {.backend = model_.backend(),
            .graph = model_.graph(),
            .parameters = model_.parameters(),
            .executor = model_.executor(),
            .optimizer = *optimizer_,
            .batches = batches,
            .seed = options.seed,
            .step = static_cast<std::uint64_t>(step)};
  }

  std::vector<double> evaluate_importance(const TrainingBatches& batches, const FitOptions& options, const Round& round,
                                          MemoryEstimate& memory) {
    const auto start = Clock::now();
    const Importance<B>& metric = choice_.importance();
    const auto pass = memory_->importance(choice_.importance_demand(), held(), cached_cut());
    report_.memory.importance = std::max(report_.memory.importance, pass.memory.total());
    memory = pass.memory;
    Schedule full_pass;
    if (metric.full_passes() > 0) full_pass = make_schedule(model_.graph(), pass.plan);
    full_pass.largest = memory_->room();
    const LinearCost again = pass_cost(model_.graph(), pass.plan, ExactCost<B>{}).recomputed;
    report_.flops.importance += choice_.importance_flops(batches, round);
    std::vector<Batch> made;
    for (const auto& numbers : choice_.measured_on(batches, round)) {
      const Batch& batch = made.emplace_back(batches.make(numbers));
      check_batch(model_.facts(), batch);
      report_.flops.importance += metric.full_passes() * evaluate(again, workload_of(batch));
    }
    auto context = importance_context(made, options, round.chosen_at);
    if (metric.full_passes() > 0) context.full_pass = &full_pass;
    auto importance = metric.evaluate(context);
    report_.seconds.importance += since(start);
    return importance;
  }

  /// One step of everything. Returns what its gradients say of importance, at the weights before it. Parameters that
  /// were not trained until now make the first step of an optimizer without state, and keep none.
  std::vector<double> train_in_full(const TrainingBatches& batches, const FitOptions& options, Extent step,
                                    MemoryEstimate& memory) {
    memory = memory_->importance_step(choice_.importance().scratch_elements(model_.graph()), held());
    report_.memory.importance = std::max(report_.memory.importance, memory.total());
    selection_ = select_all(model_.graph());
    pass_.select(selection_, std::nullopt);  // what is cached lies above weights that now change
    gradients_.select(model_.graph(), selection_);
    std::vector<double> importance;
    train_step(batches, options, step, &importance);
    return importance;
  }

  /// `importance`: to be filled from the step's gradients, which are those of everything.
  void train_step(const TrainingBatches& batches, const FitOptions& options, Extent step,
                  std::vector<double>* importance = nullptr) {
    const auto start = Clock::now();
    StepRecord record{.step = step + 1, .total_steps = batches.steps(), .in_full = importance != nullptr};
    const std::vector<TrainingBatches::Numbers> numbers = batches.of_step(step);
    std::vector<Batch> made;
    for (const auto& of_batch : numbers) {
      const Batch& batch = made.emplace_back(batches.make(of_batch));
      check_batch(model_.facts(), batch);
      record.tokens += batch.decoder.tokens() + batch.encoder.tokens();
      record.labelled_tokens += batch.labelled();
    }
    if (record.labelled_tokens == 0)
      throw DataError("fit", text("step ", step + 1), "expected labelled tokens in the batch, got none");
    const double scale = 1.0 / static_cast<double>(record.labelled_tokens);
    gradients_.zero();
    double loss_sum = 0;
    DropoutSeed dropout{.seed = options.seed, .pass = static_cast<std::uint64_t>(step * options.gradient_accumulation)};
    for (std::size_t b = 0; b < made.size(); ++b, ++dropout.pass) {
      const auto ran =
          pass_.run(made[b], batches.examples(), numbers[b],
                    {.gradient_scale = scale, .gradients = &gradients_, .dropout = &dropout, .profile = &profile_});
      loss_sum += ran.loss_sum;
      record.flops += ran.flops;
      record.recomputed_flops += ran.recomputed;
      report_.flops.saved_by_cache += ran.saved;
      look_at_cache(options);
      record.full_flops += evaluate(full_cost_, workload_of(made[b]));
    }
    record.loss = loss_sum * scale;
    if (!std::isfinite(record.loss)) {
      throw NumericalError(
          "fit", text("step ", step + 1),
          text("expected a finite loss, got ", record.loss, "; lower the learning rate or clip gradients"));
    }
    if (importance != nullptr) {
      const auto measuring = Clock::now();
      auto context = importance_context({}, options, step);
      *importance = choice_.importance().evaluate_gradients(context, gradients_);
      report_.flops.importance += choice_.importance().gradients_flops(model_.graph(), *optimizer_);
      report_.seconds.importance += since(measuring);
    }
    const auto update_start = Clock::now();
    record.learning_rate = optimizer_->peak_learning_rate() * options.schedule.factor(step, batches.steps());
    if (options.clip_norm > 0) record.gradient_norm = clip(options.clip_norm);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      Tensor<B>& weights = model_.parameters()[id];
      if (with_state_.contains(id))
        optimizer_->step(id, weights, gradients_[id], record.learning_rate);
      else
        optimizer_->candidate(id, weights.matrix(), gradients_[id].matrix(), record.learning_rate);
    }
    report_.flops.optimizer += updates_of(selection_, options);
    model_.backend().synchronize();
    report_.seconds.optimizer += since(update_start);
    record.seconds = since(start);
    report_.steps += 1;
    report_.tokens += record.tokens;
    report_.labelled_tokens += record.labelled_tokens;
    report_.flops.train += record.flops;
    report_.flops.recomputed += record.recomputed_flops;
    report_.flops.full += record.full_flops;
    report_.history.push_back(record);
    if (options.on_step) call_back([&] { options.on_step(record); });
  }

  /// Scales the gradients so that their common norm is at most `limit`; returns the norm before. As in PyTorch they are
  /// multiplied whether or not it is needed, so that the FLOPs are known beforehand.
  double clip(double limit) {
    norm_.zero();
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      model_.backend().sum_of_squares(gradients_[id].size(), gradients_[id].data(), norm_.data());
    }
    const double norm = std::sqrt(norm_.download().front());
    const double factor = std::min(1.0, limit / (norm + 1e-6));
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      model_.backend().scale(gradients_[id].size(), gradients_[id].data(), factor);
    }
    return norm;
  }

  Model<B> model_;
  std::unique_ptr<Optimizer<B>> optimizer_;
  TensorChoice<B> choice_;
  Selection selection_;
  TrainingPass<B> pass_;
  Selection with_state_;  ///< parameters that the optimizer has state of
  GradientStore<B> gradients_;
  Tensor<B, double> norm_;
  LinearCost full_cost_;                  ///< of full fine-tuning
  std::optional<MemoryLimit<B>> memory_;  ///< of the fit that runs
  PassProfile profile_;                   ///< of training passes
  TrainingReport report_;
};

template <class M, class Choice, class OptimizerOptions>
Trainer(M&, Choice, OptimizerOptions) -> Trainer<typename M::BackendType>;

}  // namespace greentrainer
