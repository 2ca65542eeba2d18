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
#include "greentrainer/select/limited_selection.hpp"
#include "greentrainer/train/cache_forecast.hpp"
#include "greentrainer/train/cache_obstacle.hpp"
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "greentrainer/train/make_prefix_store.hpp"
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
    if (chooses_in_step() && !importance->needs_gradients_alone()) {
      throw ConfigError(
          "Trainer", "use_importance",
          "expected a metric that needs gradients alone beside GreenOptions::importance_step, got another");
    }
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
    choose_ = [graph = &model_.graph(), cost](const Workload& workload, const std::vector<double>& importance,
                                              double ratio, const SelectFunction& select,
                                              std::span<const CutForecast> forecasts, const Workload& in_full) {
      return select_within_ratio(*graph, cost, workload, importance, ratio, select, {}, forecasts, in_full);
    };
    recomputed_cost_ = [graph = &model_.graph(), cost](const PassPlan& plan) {
      return pass_cost(*graph, plan, cost).recomputed;
    };
  }

  /// What fit does with these examples and options: how many steps it takes, on batches of how many examples, for how
  /// many FLOPs. Looks at the examples' lengths alone. Throws as fit does before its first pass.
  RunPlan plan_run(std::span<const Example> examples, const FitOptions& options) {
    check_options(options);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
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
    // Anew: weights and examples may be others than those of an earlier fit.
    const auto all = static_cast<OperatorId>(model_.graph().operators().size());
    pass_.keep_prefixes(
        make_prefix_store(model_.graph(), options, batches, fixed_ ? first_trained(model_.graph(), *fixed_) : all),
        options.prefix_cache_type, options.prefix_cache_limit);
    if (green_) check_budget(batches);
    profile_.reset();
    const EvaluationSample sample(examples, options);
    memory_.emplace(model_.graph(), demand_of(batches, sample.examples(), options));
    expect_option(!given.budget.is_set() || (options.memory_limit == 0 && !chooses_in_step()), "fit", "budget",
                  "none beside memory_limit or GreenOptions::importance_step, whose FLOPs no run is planned with yet",
                  "both");
    expect_option(options.memory_limit == 0 || !chooses_in_step(), "fit", "memory_limit",
                  "0 beside GreenOptions::importance_step, whose step holds the gradients of all tensors",
                  options.memory_limit);
    if (options.memory_limit > 0) check_memory(batches, options);
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
      const bool choosing = step == next_selection(step, batches);
      report_.budget_reached = choosing && !affords(choosing_flops(batches, step, end_of_round(batches, step)));
      if (report_.budget_reached) break;
      if (choosing) select(batches, options, step);
      if (choosing && chooses_in_step()) continue;  // which was this step
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
  using ChooseFunction =
      std::function<BudgetedSelection(const Workload&, const std::vector<double>&, double, const SelectFunction&,
                                      std::span<const CutForecast>, const Workload&)>;

  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  Trainer(Model<B>& model, std::unique_ptr<Optimizer<B>> optimizer)
      : model_(model.share()),
        optimizer_(std::move(optimizer)),
        pass_(model_),
        with_state_(select_none(model.graph())),
        gradients_(model.backend()),
        norm_(model.backend(), 1, 1) {}

  void check_replacement(const char* what, bool given) const {
    if (!green_)
      throw ConfigError("Trainer", what,
                        "expected a trainer that chooses by GreenOptions, got one with a fixed selection");
    if (!given) throw ConfigError("Trainer", what, "expected something to use, got nothing");
  }

  /// Throws ConfigError where no tensor fits into the budget of the first selection, or of any if each has a step that
  /// trains everything to pay for; before any time is spent.
  void check_budget(const TrainingBatches& batches) const {
    const auto none = [](const SelectionProblem& problem) {
      return SelectionResult{.mask = std::vector<bool>(problem.dag.items.size(), false)};
    };
    const std::vector<double> worth_nothing(model_.graph().parameters().size(), 0.0);
    for (Extent step = 0; step < batches.steps(); step = next_selection(step + 1, batches)) {
      const Extent until = std::min(batches.steps(), next_selection(step + 1, batches));
      const Extent first = chooses_in_step() ? step + 1 : step;
      choose_(batches.workload_of_steps(first, until), worth_nothing, green_->flops_ratio, none,
              forecasts(batches, first, until), batches.workload_of_steps(step, first));
      if (!chooses_in_step()) break;
    }
  }

  FitDemand demand_of(const TrainingBatches& batches, std::span<const Example> evaluated,
                      const FitOptions& options) const {
    FitDemand demand{.limit = options.memory_limit,
                     .state_bytes_per_element = optimizer_->state_bytes_per_element(),
                     .largest = batches.largest_batch(),
                     .evaluation_batch = EvaluateOptions{}.batch_size};
    if (options.evaluate != Evaluations::none) {
      for (const Example& example : evaluated) demand.evaluated.push_back(workload_of(example));
    }
    const PrefixCache<B>* cache = pass_.cache();
    if (cache == nullptr) return demand;
    Workload all;
    for (std::size_t i = 0; i < batches.count(); ++i) all += batches.workload(i);
    const PrefixRoom staged{.element_size = static_cast<Bytes>(sizeof(T))};
    PrefixRoom kept = cache->room();
    if (options.prefix_cache == PrefixCacheMode::disk) kept.limit = 0;
    demand.cached = [graph = &model_.graph(), all, largest = demand.largest, kept, staged](const Cut& cut) {
      return std::min(kept.limit, kept.entry(*graph, cut, all)) + staged.entry(*graph, cut, largest);
    };
    return demand;
  }
  ImportanceDemand importance_demand() const {
    if (importance_->full_passes() == 0) return {};
    return {.full_passes = importance_->full_passes(),
            .gradient_elements =
                TransientGradients<B>::elements(model_.graph()) + importance_->scratch_elements(model_.graph()),
            .saves_weights = importance_->saves_weights()};
  }

  /// Throws InfeasibleMemory where the limit is less than some phase takes at least, before any time is spent.
  void check_memory(const TrainingBatches& batches, const FitOptions& options) const {
    const auto& graph = model_.graph();
    Selection held = select_none(graph);
    const Bytes training = fixed_ ? memory_->training(*fixed_, {}).memory.total() : least_training(held);
    if (fixed_) held = *fixed_;
    const bool again = next_selection(1, batches) < batches.steps();
    const Bytes importance =
        green_ ? memory_->importance(importance_demand(), again ? held : select_none(graph), {}).memory.total() : 0;
    const Bytes evaluation =
        options.evaluate == Evaluations::none
            ? 0
            : memory_->evaluation(1, options.evaluate == Evaluations::before ? select_none(graph) : held, {}).total();
    const Bytes most = std::max({evaluation, importance, training});
    if (most <= options.memory_limit) return;
    throw InfeasibleMemory("fit", options.memory_limit, most,
                           most == evaluation   ? "an evaluation of one example at a time"
                           : most == importance ? "the evaluation of importances"
                           : fixed_             ? "training the selection"
                                                : "training the smallest tensor");
  }
  /// Of the tensor whose training takes least, which is `selected`.
  Bytes least_training(Selection& selected) const {
    Bytes least = std::numeric_limits<Bytes>::max();
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      Selection one = select_none(model_.graph());
      one.insert(id);
      const Bytes taken = memory_->plain_training(one).total();
      if (taken >= least) continue;
      least = taken;
      selected = std::move(one);
    }
    return least;
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

  /// That a cache will have; none without one.
  static std::optional<PrefixRoom> cache_room(const FitOptions& options) {
    if (options.prefix_cache == PrefixCacheMode::off) return std::nullopt;
    const bool on_disk = options.prefix_cache == PrefixCacheMode::disk;
    return PrefixCache<B>::room_of(options.prefix_cache_type, on_disk ? DiskPrefixStore::header_bytes : 0,
                                   options.prefix_cache_limit);
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
  std::vector<CutForecast> forecasts_at(const std::optional<PrefixRoom>& room, const TrainingBatches& batches,
                                        Extent first, Extent end) const {
    if (!room) return {};
    return forecast_cache(model_.graph(), cacheable_cuts(model_.graph()), *room, batches, first, end);
  }
  /// The same where a cache has entries already.
  std::vector<CutForecast> forecasts(const TrainingBatches& batches, Extent first, Extent end) const {
    const PrefixCache<B>* cache = pass_.cache();
    if (cache == nullptr) return {};
    return forecast_cache(model_.graph(), cacheable_cuts(model_.graph()), cache->room(), batches, first, end,
                          cache->cut(), &cache->store());
  }

  /// The next step, not before `step`, at which tensors are chosen; a fixed selection is chosen once.
  Extent next_selection(Extent step, const TrainingBatches& batches) const {
    if (!green_) return step == 0 ? 0 : -1;
    const Extent unit = green_->reselect_every.unit == Interval::Unit::epochs ? batches.steps_per_epoch() : 1;
    const Extent every = green_->reselect_every.every * unit;
    return (step + every - 1) / every * every;
  }

  /// Whether the step at which tensors are chosen trains everything and its gradients say what to choose.
  bool chooses_in_step() const { return green_ && green_->importance_step; }

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
    const std::vector<CutForecast> with_cache = forecasts_at(cache_room(options), batches, 0, steps);
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

  /// Chooses what is trained from `step` on; or from the one after it, which then has been made.
  void select(const TrainingBatches& batches, const FitOptions& options, Extent step) {
    const Extent first = chooses_in_step() ? step + 1 : step;
    SelectionRecord record{.step = first, .names = {}, .importance = {}};
    model_.executor().release_memory();  // an evaluation, or an earlier selection, may have needed more
    std::vector<double> importance;
    if (chooses_in_step()) importance = train_in_full(batches, options, step, record.importance_memory);
    const Extent until = end_of_round(batches, step);
    const auto start = Clock::now();
    const Workload coming = batches.workload_of_steps(first, until);
    const std::vector<CutForecast> with_cache = forecasts(batches, first, until);
    report_.seconds.selection += since(start);
    std::optional<Cut> cut;
    typename MemoryLimit<B>::Pass pass;
    if (green_) {
      gradients_.select(model_.graph(), select_none(model_.graph()));
      if (!chooses_in_step()) importance = evaluate_importance(batches, options, step, until, record.importance_memory);
      const auto choosing = Clock::now();
      LimitedSelection<B> limited = choose_within_limits(coming, batches.workload_of_steps(step, first), importance,
                                                         with_cache, options, until < batches.steps());
      report_.seconds.selection += since(choosing);
      const BudgetedSelection& chosen = limited.chosen;
      selection_ = chosen.selection;
      cut = chosen.cut;
      pass = std::move(limited.pass);
      record.budget = chosen.budget;
      record.cost = chosen.cost;
      record.recomputed = limited.recomputed;
      record.unit = cost_unit_;
      record.optimal = chosen.optimal;
      record.gap = chosen.gap;
      for (std::size_t i = 0; i < importance.size(); ++i)
        record.importance[model_.graph().parameters()[i].name] = importance[i];
    } else {
      selection_ = *fixed_;
      cut = best_cut(model_.graph(), ExactCost<B>{}, coming, with_cache, selection_);
      pass = memory_->training(selection_, cut);
      if (memory_->excess(pass) > 0 && cut) {
        cut.reset();  // the cache is what can be done without
        pass = memory_->training(selection_, cut);
      }
      record.recomputed = evaluate(pass_cost(model_.graph(), pass.plan, ExactCost<B>{}).recomputed, coming);
    }
    pass_.select(selection_, cut, pass.segments, memory_->room());
    if (cut) {
      record.cached_below = model_.graph().op(cut->op).name;
      for (const CutForecast& f : with_cache) record.cached_bytes += f.cut == *cut ? f.bytes : 0;
    } else if (options.prefix_cache != PrefixCacheMode::off) {
      record.not_cached = why_not_cached(model_.graph(), selection_, std::span(with_cache));
    }
    for (const DroppedSegment& segment : pass.segments)
      record.recomputed_from.push_back(model_.graph().op(segment.first).name);
    record.memory = pass.memory;
    record.recomputation_optimal = pass.optimal;
    report_.memory.training = std::max(report_.memory.training, pass.memory.total());
    model_.executor().release_memory();  // importance may have needed more
    gradients_.select(model_.graph(), selection_);
    optimizer_->select(model_.graph(), selection_);
    with_state_ = selection_;
    record.names = names_of(model_.graph(), selection_);
    if (options.on_selection) call_back([&] { options.on_selection(record); });
    report_.selections.push_back(std::move(record));
  }

  /// The selection for the coming steps, and what its passes compute again. `in_full`: steps in front of them that
  /// train everything.
  LimitedSelection<B> choose_within_limits(const Workload& coming, const Workload& in_full,
                                           const std::vector<double>& importance,
                                           const std::vector<CutForecast>& with_cache, const FitOptions& options,
                                           bool another_follows) const {
    if (options.memory_limit == 0) {
      LimitedSelection<B> free{.chosen = choose_(coming, importance, green_->flops_ratio, select_, with_cache, in_full),
                               .pass = {}};
      free.pass = memory_->training(free.chosen.selection, free.chosen.cut);
      return free;
    }
    const auto choose = [&](const std::vector<double>& worth, double ratio, bool cached) {
      return choose_(coming, worth, ratio, select_, cached ? std::span(with_cache) : std::span<const CutForecast>(),
                     in_full);
    };
    const auto price = [&](const typename MemoryLimit<B>::Pass& pass) {
      return evaluate(recomputed_cost_(pass.plan), coming);
    };
    const bool evaluates = options.evaluate == Evaluations::after || options.evaluate == Evaluations::both;
    const auto excess = [&](const Selection& selection, const std::optional<Cut>& cut) {
      const Bytes importances =
          another_follows ? memory_->excess(memory_->importance(importance_demand(), selection, cut)) : 0;
      return std::max(importances, evaluates ? memory_->excess(memory_->evaluation(1, selection, cut)) : 0);
    };
    return select_within_memory(model_.graph(), *memory_, importance, green_->flops_ratio, choose, price, excess);
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

  /// On the first batches of the steps [step, until).
  std::vector<double> evaluate_importance(const TrainingBatches& batches, const FitOptions& options, Extent step,
                                          Extent until, MemoryEstimate& memory) {
    const auto start = Clock::now();
    const auto pass = memory_->importance(importance_demand(), held(), cached_cut());
    report_.memory.importance = std::max(report_.memory.importance, pass.memory.total());
    memory = pass.memory;
    Schedule full_pass;
    if (importance_->full_passes() > 0) full_pass = make_schedule(model_.graph(), pass.plan);
    full_pass.largest = memory_->room();
    const LinearCost again = pass_cost(model_.graph(), pass.plan, ExactCost<B>{}).recomputed;
    report_.flops.importance += choosing_flops(batches, step, until);
    std::vector<Batch> made;
    for (const auto& numbers : chosen_by(batches, step, until)) {
      const Batch& batch = made.emplace_back(batches.make(numbers));
      check_batch(model_.facts(), batch);
      report_.flops.importance += importance_->full_passes() * evaluate(again, workload_of(batch));
    }
    auto context = importance_context(made, options, step);
    if (importance_->full_passes() > 0) context.full_pass = &full_pass;
    auto importance = importance_->evaluate(context);
    report_.seconds.importance += since(start);
    return importance;
  }

  /// One step of everything. Returns what its gradients say of importance, at the weights before it. Parameters that
  /// were not trained until now make the first step of an optimizer without state, and keep none.
  std::vector<double> train_in_full(const TrainingBatches& batches, const FitOptions& options, Extent step,
                                    MemoryEstimate& memory) {
    memory = memory_->importance_step(importance_->scratch_elements(model_.graph()), held());
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
      record.full_flops += evaluate(full_cost(), workload_of(made[b]));
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
      *importance = importance_->evaluate_gradients(context, gradients_);
      report_.flops.importance += importance_->gradients_flops(model_.graph(), *optimizer_);
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
                               const SelectFunction& select, std::span<const CutForecast> forecasts,
                               const Workload& in_full) {
    return select_within_ratio(*graph, ExactCost<B>{}, workload, importance, ratio, select, facts->full_cost, forecasts,
                               in_full);
  };
  std::function<LinearCost(const PassPlan&)> recomputed_cost_ = [graph = &model_.graph()](const PassPlan& plan) {
    return pass_cost(*graph, plan, ExactCost<B>{}).recomputed;
  };
  std::string cost_unit_ = std::string(ExactCost<B>::unit());
  bool budgets_are_flops_ = true;  ///< those of selections
  Selection selection_;
  TrainingPass<B> pass_;
  Selection with_state_;  ///< parameters that the optimizer has state of
  GradientStore<B> gradients_;
  Tensor<B, double> norm_;
  std::optional<LinearCost> full_;
  std::optional<MemoryLimit<B>> memory_;  ///< of the fit that runs
  PassProfile profile_;                   ///< of training passes
  TrainingReport report_;
};

template <class M, class Choice, class OptimizerOptions>
Trainer(M&, Choice, OptimizerOptions) -> Trainer<typename M::BackendType>;

}  // namespace greentrainer
