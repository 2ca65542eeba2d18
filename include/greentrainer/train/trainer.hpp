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
#include "greentrainer/train/evaluation.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "greentrainer/train/fit_memory.hpp"
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
    choose_ = [graph = &model_.graph(), cost](const Workload& workload, const std::vector<double>& importance,
                                              double ratio, const SelectFunction& select,
                                              std::span<const CutForecast> forecasts) {
      return select_within_ratio(*graph, cost, workload, importance, ratio, select, {}, forecasts);
    };
    recomputed_cost_ = [graph = &model_.graph(), cost](const PassPlan& plan) {
      return pass_cost(*graph, plan, cost).recomputed;
    };
  }

  /// Trains. Throws DataError for examples the model cannot read, ConfigError for options out of range and a budget
  /// that cannot be met, as far as the first selection goes before any pass, and NumericalError when the loss is no
  /// longer a number; weights are then as the last step left them.
  TrainingReport fit(std::span<const Example> examples, const FitOptions& options) {
    const auto start = Clock::now();
    check_options(options);
    if (examples.empty()) throw DataError("fit", "examples", "expected at least one, got none");
    const TrainingBatches batches(examples, options);
    expect_option(options.schedule.warmup_steps <= batches.steps(), "fit", "schedule.warmup_steps",
                  text("at most the run's ", batches.steps(), " steps"), options.schedule.warmup_steps);
    report_ = {};
    pass_.forget();  // weights and examples may be others than those of an earlier fit
    if (green_) check_budget(batches, options);
    profile_.reset();
    const EvaluationSample sample(examples, options);
    memory_.emplace(model_.graph(), fit_demand(model_.graph(), *optimizer_, batches, sample.examples(), options));
    if (options.memory_limit > 0) {
      expect_feasible(model_.graph(), *memory_, fixed_, metric_demand(),
                      green_ && next_selection(1, batches) < batches.steps(), options.evaluate);
    }
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
      if (step == next_selection(step, batches)) select(batches, options, step);
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
    model_.executor().release_memory();
    EvaluateOptions how{.should_stop = options.should_stop};
    const std::optional<Cut>& cut = pass_.cache().cut();
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

  ImportanceDemand metric_demand() const {
    return importance_ ? importance_demand(model_.graph(), *importance_) : ImportanceDemand{};
  }
  /// Bytes by which the evaluation after training, if there is one, exceeds the limit.
  Bytes evaluation_excess(const Selection& selection, const std::optional<Cut>& cut, const FitOptions& options) const {
    const bool evaluates = options.evaluate == Evaluations::after || options.evaluate == Evaluations::both;
    return evaluates ? memory_->excess(memory_->evaluation(1, selection, cut)) : 0;
  }
  /// Whose gradients and optimizer state there are.
  Selection held() const { return selection_.mask().empty() ? select_none(model_.graph()) : selection_; }

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

  void select(const TrainingBatches& batches, const FitOptions& options, Extent step) {
    SelectionRecord record{.step = step, .names = {}, .importance = {}};
    model_.executor().release_memory();  // an evaluation, or an earlier selection, may have needed more
    const Extent until = green_ ? std::min(batches.steps(), next_selection(step + 1, batches)) : batches.steps();
    const Workload coming = batches.workload_of_steps(step, until);
    const std::vector<CutForecast> with_cache = forecasts(batches, options, step, until);
    std::optional<Cut> cut;
    typename MemoryLimit<B>::Pass pass;
    if (green_) {
      gradients_.select(model_.graph(), select_none(model_.graph()));
      std::vector<Batch> first_batches;
      for (Extent s = step; s < until; ++s) {
        for (const auto& numbers : batches.of_step(s)) {
          if (static_cast<Extent>(first_batches.size()) < green_->importance_batches)
            first_batches.push_back(batches.make(numbers));
        }
        if (static_cast<Extent>(first_batches.size()) == green_->importance_batches) break;
      }
      const auto importance = evaluate_importance(first_batches, options, step, record.importance_memory);
      const auto start = Clock::now();
      LimitedSelection<B> limited =
          choose_within_limits(coming, importance, with_cache, options, until < batches.steps());
      report_.seconds.selection += since(start);
      const BudgetedSelection& chosen = limited.chosen;
      selection_ = chosen.selection;
      cut = chosen.cut;
      pass = std::move(limited.pass);
      record.budget = chosen.budget;
      record.cost = chosen.cost;
      record.recomputed = limited.recomputed;
      record.unit = cost_unit_;
      record.optimal = chosen.optimal;
      for (std::size_t i = 0; i < importance.size(); ++i)
        record.importance[model_.graph().parameters()[i].name] = importance[i];
    } else {
      selection_ = *fixed_;
      cut = best_cut(model_.graph(), ExactCost<B>{}, coming, with_cache, selection_);
      pass = memory_->training(selection_, cut);
      if (cut && std::max(memory_->excess(pass), evaluation_excess(selection_, cut, options)) > 0) {
        cut.reset();  // the cache is what can be done without
        pass = memory_->training(selection_, cut);
      }
      record.recomputed = evaluate(pass_cost(model_.graph(), pass.plan, ExactCost<B>{}).recomputed, coming);
    }
    pass_.select(selection_, cut, options.prefix_cache_limit, pass.segments, memory_->room());
    if (cut) record.cached_below = model_.graph().op(cut->op).name;
    for (const DroppedSegment& segment : pass.segments)
      record.recomputed_from.push_back(model_.graph().op(segment.first).name);
    record.memory = pass.memory;
    record.recomputation_optimal = pass.optimal;
    report_.memory.training = std::max(report_.memory.training, pass.memory.total());
    model_.executor().release_memory();  // importance may have needed more
    gradients_.select(model_.graph(), selection_);
    optimizer_->select(model_.graph(), selection_);
    record.names = names_of(model_.graph(), selection_);
    if (options.on_selection) call_back([&] { options.on_selection(record); });
    report_.selections.push_back(std::move(record));
  }

  /// The selection for the coming steps, and what its passes compute again.
  LimitedSelection<B> choose_within_limits(const Workload& coming, const std::vector<double>& importance,
                                           const std::vector<CutForecast>& with_cache, const FitOptions& options,
                                           bool another_follows) const {
    if (options.memory_limit == 0) {
      LimitedSelection<B> free{.chosen = choose_(coming, importance, green_->flops_ratio, select_, with_cache),
                               .pass = {}};
      free.pass = memory_->training(free.chosen.selection, free.chosen.cut);
      return free;
    }
    const auto choose = [&](const std::vector<double>& worth, double ratio, bool cached) {
      return choose_(coming, worth, ratio, select_, cached ? std::span(with_cache) : std::span<const CutForecast>());
    };
    const auto price = [&](const typename MemoryLimit<B>::Pass& pass) {
      return evaluate(recomputed_cost_(pass.plan), coming);
    };
    const auto excess = [&](const Selection& selection, const std::optional<Cut>& cut) {
      const Bytes importances =
          another_follows ? memory_->excess(memory_->importance(metric_demand(), selection, cut)) : 0;
      return std::max(importances, evaluation_excess(selection, cut, options));
    };
    return select_within_memory(model_.graph(), *memory_, importance, green_->flops_ratio, choose, price, excess);
  }

  std::vector<double> evaluate_importance(const std::vector<Batch>& batches, const FitOptions& options, Extent step,
                                          MemoryEstimate& memory) {
    const auto start = Clock::now();
    const auto pass = memory_->importance(metric_demand(), held(), pass_.cache().cut());
    report_.memory.importance = std::max(report_.memory.importance, pass.memory.total());
    memory = pass.memory;
    Schedule full_pass;
    if (importance_->full_passes() > 0) full_pass = make_schedule(model_.graph(), pass.plan);
    full_pass.largest = memory_->room();
    const LinearCost again = pass_cost(model_.graph(), pass.plan, ExactCost<B>{}).recomputed;
    for (const Batch& batch : batches) {
      check_batch(model_.facts(), batch);
      report_.flops.importance += importance_->flops(model_.graph(), workload_of(batch), *optimizer_) +
                                  importance_->full_passes() * evaluate(again, workload_of(batch));
    }
    ImportanceContext<B> context{.backend = model_.backend(),
                                 .graph = model_.graph(),
                                 .parameters = model_.parameters(),
                                 .executor = model_.executor(),
                                 .optimizer = *optimizer_,
                                 .batches = batches,
                                 .seed = options.seed,
                                 .step = static_cast<std::uint64_t>(step),
                                 .full_pass = importance_->full_passes() > 0 ? &full_pass : nullptr};
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
      record.recomputed_flops += ran.recomputed;
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
      report_.flops.optimizer += model_.graph().parameter(id).size() * optimizer_->flops_per_element();
    }
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

  /// Scales the gradients so that their common norm is at most `limit`; returns the norm before.
  double clip(double limit) {
    norm_.zero();
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      model_.backend().sum_of_squares(gradients_[id].size(), gradients_[id].data(), norm_.data());
      report_.flops.optimizer += 2 * gradients_[id].size();
    }
    const double norm = std::sqrt(norm_.download().front());
    const double factor = limit / (norm + 1e-6);  // as PyTorch does
    if (factor >= 1) return norm;
    for (ParameterId id = 0; id < static_cast<ParameterId>(model_.graph().parameters().size()); ++id) {
      if (!selection_.contains(id)) continue;
      model_.backend().scale(gradients_[id].size(), gradients_[id].data(), factor);
      report_.flops.optimizer += gradients_[id].size();
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
  std::function<LinearCost(const PassPlan&)> recomputed_cost_ = [graph = &model_.graph()](const PassPlan& plan) {
    return pass_cost(*graph, plan, ExactCost<B>{}).recomputed;
  };
  std::string cost_unit_ = std::string(ExactCost<B>::unit());
  Selection selection_;
  TrainingPass<B> pass_;
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
