#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/optim/sgd.hpp"
#include "greentrainer/select/budgeted_selection.hpp"
#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "greentrainer/train/plan_run.hpp"
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
      : Trainer(model, make_optimizer(model.backend(), optimizer)) {
    check_options(green);
    importance_ = make_importance<B>(green.importance);
    green_ = std::move(green);
  }
  /// The same tensors throughout: select_all (full fine-tuning), select_last_layers, select_biases, select_norms,
  /// select_listed. Throws ConfigError for options out of range, and for a selection that is not this graph's or empty.
  template <class OptimizerOptions>
  Trainer(Model<B>& model, Selection selection, const OptimizerOptions& optimizer)
      : Trainer(model, make_optimizer(model.backend(), optimizer)) {
    const std::size_t parameters = model.graph().parameters().size();
    expect_option(selection.mask().size() == parameters, "Trainer", "selection",
                  text("one entry for each of the graph's ", parameters, " parameters"), selection.mask().size());
    if (selection.count() == 0) {
      throw ConfigError("Trainer", "selection",
                        text("expected at least one parameter, got none; does a model of type ",
                             model.facts().model_type, " have what was selected?"));
    }
    fixed_ = std::move(selection);
  }

  /// Replaces the metric that GreenOptions name. This and the next two throw ConfigError where there is nothing to
  /// choose, or nothing is given.
  void use_importance(std::unique_ptr<Importance<B>> importance) {
    check_replacement("use_importance", importance != nullptr);
    importance_ = std::move(importance);
  }
  /// Replaces the exact selector.
  template <Selector S>
  void use_selector(S selector) {
    use_selector(SelectFunction(
        [selector = std::move(selector)](const SelectionProblem& problem) { return selector.select(problem); }));
  }
  void use_selector(SelectFunction select) {
    check_replacement("use_selector", static_cast<bool>(select));
    select_ = std::move(select);
  }
  /// Replaces the FLOPs that tensors are chosen by: GreenOptions::flops_ratio is then a share of the cost of training
  /// all that the graph has, in the cost model's unit. What the report counts as FLOPs stays FLOPs.
  template <CostModel<TensorGraph<B>> C>
  void use_cost_model(C cost) {
    check_replacement("use_cost_model", true);
    cost_unit_ = C::unit();
    budgets_are_flops_ = false;
    choose_ = [graph = &model_.graph(), cost = std::move(cost)](
                  const Workload& workload, const std::vector<double>& importance, double ratio,
                  const SelectFunction& select, std::span<const CutForecast> forecasts) {
      return select_within_ratio(*graph, cost, workload, importance, ratio, select, {}, forecasts);
    };
  }

  /// What fit does with these examples and options: how many steps it takes, on batches of how many examples, for how
  /// many FLOPs. Looks at the examples' lengths alone. Throws as fit does before its first pass.
  RunPlan plan_run(std::span<const Example> examples, const FitOptions& options) {
    check_options(options);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
    pass_.forget();  // as fit does
    FitOptions of_size = options;
    std::optional<TrainingBatches> batches;
    const auto use = [&](Extent size) {  // as many passes over the data at every size
      if (batches && of_size.batch_size == size) return;
      of_size.batch_size = size;
      of_size.steps = options.steps * options.batch_size / size;
      batches.emplace(examples, of_size);
    };
    const RunPrices prices{.steps =
                               [&](Extent size) {
                                 use(size);
                                 return batches->steps();
                               },
                           .flops =
                               [&](Extent size, Extent steps) {
                                 use(size);
                                 return green_ ? most_flops(*batches, options, steps)
                                               : fixed_flops(*batches, options, steps);
                               }};
    use(options.batch_size);
    RunPlan plan = greentrainer::plan_run(options.budget, options.batch_size, full_flops(*batches, options), prices);
    plan.exact = !green_;
    return plan;
  }

  /// Trains. Throws DataError for examples the model cannot read, ConfigError for options out of range and a budget
  /// that cannot be met, as far as the first selection goes before any pass, and NumericalError when the loss is no
  /// longer a number; weights are then as the last step left them. A run with a budget is the one that plan_run says;
  /// what would exceed the budget all the same, since tensors are chosen on the way, is not done.
  TrainingReport fit(std::span<const Example> examples, const FitOptions& given) {
    const auto start = Clock::now();
    check_options(given);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
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
    pass_.forget();  // weights and examples may be others than those of an earlier fit
    if (green_) check_budget(batches, options);
    profile_.reset();
    const EvaluationSample sample(examples, options);
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
      const bool selects = step == next_selection(step, batches);
      report_.budget_reached = selects && !affords(choosing_flops(batches, step, end_of_round(batches, step)));
      if (report_.budget_reached) break;
      if (selects) select(batches, options, step);
      report_.budget_reached = !affords(step_flops(batches, options, step));
      if (report_.budget_reached) break;
      train_step(batches, options, step);
    }
    report_.seconds.forward = profile_.total().forward;
    report_.seconds.backward = profile_.total().backward;
    if (wanted(Evaluations::after) && !report_.stopped)
      report_.loss_after = timed_evaluation(sample.examples(), options, true);
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
  using ChooseFunction = std::function<BudgetedSelection(const Workload&, const std::vector<double>&, double,
                                                         const SelectFunction&, std::span<const CutForecast>)>;

  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  Trainer(Model<B>& model, std::unique_ptr<Optimizer<B>> optimizer)
      : model_(model.share()),
        optimizer_(std::move(optimizer)),
        pass_(model_),
        gradients_(model.backend()),
        norm_(model.backend(), 1, 1) {}

  void check_replacement(const char* what, bool given) const {
    if (!green_)
      throw ConfigError("Trainer", what,
                        "expected a trainer that chooses by GreenOptions, got one with a fixed selection");
    if (!given) throw ConfigError("Trainer", what, "expected something to use, got nothing");
  }

  /// Throws ConfigError where no tensor fits into the budget of the first selection, before any time is spent.
  void check_budget(const TrainingBatches& batches, const FitOptions& options) const {
    const Extent until = std::min(batches.steps(), next_selection(1, batches));
    const auto none = [](const SelectionProblem& problem) {
      return SelectionResult{.mask = std::vector<bool>(problem.dag.items.size(), false)};
    };
    choose_(batches.workload_of_steps(0, until), std::vector<double>(model_.graph().parameters().size(), 0.0),
            green_->flops_ratio, none, forecasts(batches, options, 0, until));
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
    EvaluateOptions how{.should_stop = options.should_stop};
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

  /// Empty where nothing is to be cached.
  std::vector<CutForecast> forecasts(const TrainingBatches& batches, const FitOptions& options, Extent first,
                                     Extent end) const {
    if (options.prefix_cache == PrefixCacheMode::off) return {};
    return forecast_cache(model_.graph(), cacheable_cuts(model_.graph()), pass_.cache(), options.prefix_cache_limit,
                          batches, first, end);
  }

  /// The next step, not before `step`, at which tensors are chosen; a fixed selection is chosen once.
  Extent next_selection(Extent step, const TrainingBatches& batches) const {
    if (!green_) return step == 0 ? 0 : -1;
    const Extent unit = green_->reselect_every.unit == Interval::Unit::epochs ? batches.steps_per_epoch() : 1;
    const Extent every = green_->reselect_every.every * unit;
    return (step + every - 1) / every * every;
  }

  /// The step at which tensors are chosen next, or the end of the run.
  Extent end_of_round(const TrainingBatches& batches, Extent step) const {
    return green_ ? std::min(batches.steps(), next_selection(step + 1, batches)) : batches.steps();
  }
  /// The first batches of the steps [first, end), which importances are taken from.
  std::vector<TrainingBatches::Numbers> chosen_by(const TrainingBatches& batches, Extent first, Extent end) const {
    std::vector<TrainingBatches::Numbers> all;
    for (Extent step = first; step < end; ++step) {
      for (auto& numbers : batches.of_step(step)) {
        if (static_cast<Extent>(all.size()) == green_->importance_batches) return all;
        all.push_back(std::move(numbers));
      }
    }
    return all;
  }

  /// FLOPs of choosing tensors for the steps [first, end).
  Flops choosing_flops(const TrainingBatches& batches, Extent first, Extent end) const {
    if (!green_) return 0;
    Workload workload;
    for (const auto& numbers : chosen_by(batches, first, end)) workload += batches.workload_of_batch(numbers);
    return importance_->flops(model_.graph(), workload, *optimizer_);
  }
  Flops updates_of(const Selection& selection, const FitOptions& options) const {
    return update_flops(model_.graph(), selection, optimizer_->flops_per_element(), options.clip_norm > 0);
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
  /// FLOPs of full fine-tuning on these batches, updates included: of the model without what was added to it.
  Flops full_flops(const TrainingBatches& batches, const FitOptions& options) {
    const Selection own = select_where(model_.graph(), [](const Parameter& p) { return !p.is_adapter(); });
    CheckedInteger total = CheckedInteger(batches.steps()) * updates_of(own, options);
    total += evaluate(full_cost(), batches.workload_of_steps(0, batches.steps()));
    return total.value();
  }
  /// FLOPs of the first so many steps of a run that trains the fixed selection.
  Flops fixed_flops(const TrainingBatches& batches, const FitOptions& options, Extent steps) const {
    const Workload workload = batches.workload_of_steps(0, steps);
    const std::vector<CutForecast> with_cache = forecasts(batches, options, 0, steps);
    const auto cut = best_cut(model_.graph(), ExactCost<B>{}, workload, with_cache, *fixed_);
    const auto costs = pass_.costs_of(*fixed_, cut);
    CheckedInteger total = CheckedInteger(steps) * updates_of(*fixed_, options);
    total += evaluate(costs.above, workload);
    for (const CutForecast& f : with_cache) {
      if (cut && f.cut == *cut) total += evaluate(costs.below, f.computed);
    }
    return total.value();
  }
  /// The same where tensors are chosen: at most so many, if the selector keeps to its budget. Updates are priced as if
  /// all tensors were chosen.
  Flops most_flops(const TrainingBatches& batches, const FitOptions& options, Extent steps) {
    const auto& graph = model_.graph();
    CheckedInteger total = CheckedInteger(steps) * updates_of(select_all(graph), options);
    for (Extent first = 0, end = 0; first < steps; first = end) {
      end = std::min(steps, next_selection(first + 1, batches));
      const Workload workload = batches.workload_of_steps(first, end);
      total += choosing_flops(batches, first, end);
      total += budgets_are_flops_ ? within_ratio(green_->flops_ratio, evaluate(full_cost(), workload))
                                  : full_pass_flops(graph, workload);
    }
    return total.value();
  }

  void select(const TrainingBatches& batches, const FitOptions& options, Extent step) {
    SelectionRecord record{.step = step, .names = {}, .importance = {}};
    const Extent until = end_of_round(batches, step);
    const Workload coming = batches.workload_of_steps(step, until);
    const std::vector<CutForecast> with_cache = forecasts(batches, options, step, until);
    std::optional<Cut> cut;
    if (green_) {
      report_.flops.importance += choosing_flops(batches, step, until);
      std::vector<Batch> first_batches;
      for (const auto& numbers : chosen_by(batches, step, until)) first_batches.push_back(batches.make(numbers));
      const auto importance = evaluate_importance(first_batches, options, step);
      const auto start = Clock::now();
      const BudgetedSelection chosen = choose_(coming, importance, green_->flops_ratio, select_, with_cache);
      report_.seconds.selection += since(start);
      selection_ = chosen.selection;
      cut = chosen.cut;
      record.budget = chosen.budget;
      record.cost = chosen.cost;
      record.unit = cost_unit_;
      record.optimal = chosen.optimal;
      for (std::size_t i = 0; i < importance.size(); ++i)
        record.importance[model_.graph().parameters()[i].name] = importance[i];
    } else {
      selection_ = *fixed_;
      cut = best_cut(model_.graph(), ExactCost<B>{}, coming, with_cache, selection_);
    }
    pass_.select(selection_, cut, options.prefix_cache_limit);
    if (cut) record.cached_below = model_.graph().op(cut->op).name;
    model_.executor().release_memory();  // importance, or an earlier selection, may have needed more
    gradients_.select(model_.graph(), selection_);
    optimizer_->select(model_.graph(), selection_);
    record.names = names_of(model_.graph(), selection_);
    if (options.on_selection) call_back([&] { options.on_selection(record); });
    report_.selections.push_back(std::move(record));
  }

  std::vector<double> evaluate_importance(const std::vector<Batch>& batches, const FitOptions& options, Extent step) {
    const auto start = Clock::now();
    for (const Batch& batch : batches) check_batch(model_.facts(), batch);
    ImportanceContext<B> context{.backend = model_.backend(),
                                 .graph = model_.graph(),
                                 .parameters = model_.parameters(),
                                 .executor = model_.executor(),
                                 .optimizer = *optimizer_,
                                 .batches = batches,
                                 .seed = options.seed,
                                 .step = static_cast<std::uint64_t>(step)};
    auto importance = importance_->evaluate(context);
    report_.seconds.importance += since(start);
    return importance;
  }

  void train_step(const TrainingBatches& batches, const FitOptions& options, Extent step) {
    const auto start = Clock::now();
    StepRecord record{.step = step + 1, .total_steps = batches.steps()};
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
      report_.flops.saved_by_cache += ran.saved;
      record.full_flops += evaluate(full_cost(), workload_of(made[b]));
    }
    record.loss = loss_sum * scale;
    if (!std::isfinite(record.loss)) {
      throw NumericalError(
          "fit", text("step ", step + 1),
          text("expected a finite loss, got ", record.loss, "; lower the learning rate or clip gradients"));
    }
    const auto update_start = Clock::now();
    record.learning_rate = optimizer_->peak_learning_rate() * options.schedule.factor(step, batches.steps());
    if (options.clip_norm > 0) record.gradient_norm = clip(options.clip_norm);
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      optimizer_->step(id, model_.parameters()[id], gradients_[id], record.learning_rate);
    }
    report_.flops.optimizer += updates_of(selection_, options);
    model_.backend().synchronize();
    report_.seconds.optimizer += since(update_start);
    record.seconds = since(start);
    report_.steps += 1;
    report_.tokens += record.tokens;
    report_.labelled_tokens += record.labelled_tokens;
    report_.flops.train += record.flops;
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

  const LinearCost& full_cost() {
    if (!full_) full_ = model_.facts().full_cost;
    if (!full_) full_ = full_fine_tuning_cost(model_.graph(), ExactCost<B>{});
    return *full_;
  }

  Model<B> model_;
  std::unique_ptr<Optimizer<B>> optimizer_;
  std::optional<GreenOptions> green_;
  std::optional<Selection> fixed_;
  std::unique_ptr<Importance<B>> importance_;
  SelectFunction select_ = [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
  ChooseFunction choose_ = [graph = &model_.graph(), facts = &model_.facts()](
                               const Workload& workload, const std::vector<double>& importance, double ratio,
                               const SelectFunction& select, std::span<const CutForecast> forecasts) {
    return select_within_ratio(*graph, ExactCost<B>{}, workload, importance, ratio, select, facts->full_cost,
                               forecasts);
  };
  std::string cost_unit_ = std::string(ExactCost<B>::unit());
  bool budgets_are_flops_ = true;  ///< those of selections
  Selection selection_;
  TrainingPass<B> pass_;
  GradientStore<B> gradients_;
  Tensor<B, double> norm_;
  std::optional<LinearCost> full_;
  PassProfile profile_;  ///< of training passes
  TrainingReport report_;
};

template <class M, class Choice, class OptimizerOptions>
Trainer(M&, Choice, OptimizerOptions) -> Trainer<typename M::BackendType>;

}  // namespace greentrainer
