#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/concepts/cost_model.hpp"
#include "greentrainer/concepts/selector.hpp"
#include "greentrainer/executor/transient_gradients.hpp"
#include "greentrainer/importance/make_importance.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/optim/optimizer.hpp"
#include "greentrainer/select/limited_selection.hpp"
#include "greentrainer/train/run_identity.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "greentrainer/train/training_options.hpp"

namespace greentrainer {

/// Which tensors a fit trains from which step on: a fixed selection, or what GreenOptions, a metric, a selector and a
/// cost model choose. Model and optimizer must outlive it.
template <Backend B>
class TensorChoice {
 public:
  /// Steps [first, end) that are trained with one selection. With GreenOptions::importance_step the step `chosen_at` in
  /// front of them trains everything; else it is the first of them.
  struct Round {
    Extent chosen_at = 0, first = 0, end = 0;
  };

  /// Throws ConfigError for options out of range.
  TensorChoice(const Model<B>& model, const Optimizer<B>& optimizer, GreenOptions green)
      : TensorChoice(model, optimizer) {
    check_options(green);
    if (!green.freeze.empty()) {
      without_frozen(*graph_, select_all(*graph_), green.freeze);
      frozen_ = select_listed(*graph_, green.freeze, "freeze");
    }
    importance_ = make_importance<B>(green.importance);
    green_ = std::move(green);
  }
  /// Throws ConfigError for a selection that is not this graph's, or empty.
  TensorChoice(const Model<B>& model, const Optimizer<B>& optimizer, Selection fixed) : TensorChoice(model, optimizer) {
    const std::size_t parameters = graph_->parameters().size();
    expect_option(fixed.mask().size() == parameters, "Trainer", "selection",
                  text("one entry for each of the graph's ", parameters, " parameters"), fixed.mask().size());
    if (fixed.count() == 0) {
      throw ConfigError("Trainer", "selection",
                        text("expected at least one parameter, got none; does a model of type ",
                             model.facts().model_type, " have what was selected?"));
    }
    fixed_ = std::move(fixed);
  }

  void use_importance(std::unique_ptr<Importance<B>> importance) {
    check_replacement("use_importance", importance != nullptr);
    if (in_step() && !importance->needs_gradients_alone()) {
      throw ConfigError(
          "Trainer", "use_importance",
          "expected a metric that needs gradients alone beside GreenOptions::importance_step, got another");
    }
    importance_ = std::move(importance);
  }
  void use_selector(SelectFunction select) {
    check_replacement("use_selector", static_cast<bool>(select));
    select_ = std::move(select);
  }
  template <CostModel<TensorGraph<B>> C>
  void use_cost_model(C cost) {
    check_replacement("use_cost_model", true);
    unit_ = C::unit();
    ratio_is_of_flops_ = false;
    choose_ = [graph = graph_, cost](const Workload& workload, const std::vector<double>& importance, double ratio,
                                     const SelectFunction& select, std::span<const CutForecast> forecasts,
                                     const Workload& in_full, const Selection& frozen) {
      return select_within_ratio(*graph, cost, workload, importance, ratio, select, {}, forecasts, in_full, frozen);
    };
    recomputed_cost_ = [graph = graph_, cost](const PassPlan& plan) {
      return pass_cost(*graph, plan, cost).recomputed;
    };
  }

  /// Adds to the identity what the choice depends on, by the options' names. Of a replaced part it only says that it
  /// was replaced.
  void add_identity(RunIdentity& identity) const {
    if (fixed_) identity["selection"] = identity_of(*fixed_);
    if (!green_) return;
    identity["flops_ratio"] = exact_text(green_->flops_ratio);
    identity["importance"] = green_->importance;
    identity["importance_batches"] = text(green_->importance_batches);
    identity["importance_step"] = text(green_->importance_step);
    identity["reselect_every"] = text_of(green_->reselect_every);
    identity["freeze"] = frozen_.mask().empty() ? "none" : identity_of(frozen_);
    identity["cost_unit"] = unit_;
  }

  /// Null where tensors are chosen.
  const Selection* fixed() const { return fixed_ ? &*fixed_ : nullptr; }
  /// Tensors that are never chosen; empty where any may be.
  const Selection& frozen() const { return frozen_; }
  /// Whether the step at which tensors are chosen trains everything and its gradients say what to choose.
  bool in_step() const { return green_ && green_->importance_step; }
  /// Where tensors are chosen.
  const Importance<B>& importance() const { return *importance_; }
  double flops_ratio() const { return green_->flops_ratio; }
  /// Whether flops_ratio() is of FLOPs, rather than of a cost model's unit.
  bool ratio_is_of_flops() const { return ratio_is_of_flops_; }
  /// Of the costs that tensors are chosen by.
  const std::string& unit() const { return unit_; }

  /// The next step, not before `step`, at which tensors are chosen. A fixed selection is chosen once, at step 0.
  Extent next(Extent step, const TrainingBatches& batches) const {
    if (!green_) return step == 0 ? 0 : batches.steps();
    const Extent every = green_->reselect_every.steps(batches.steps_per_epoch());
    return (step + every - 1) / every * every;
  }
  /// What is trained with the selection of this step.
  Round round(Extent step, const TrainingBatches& batches) const {
    return {.chosen_at = step,
            .first = in_step() ? step + 1 : step,
            .end = std::min(batches.steps(), next(step + 1, batches))};
  }

  /// The first batches of a round, which importances are taken from.
  std::vector<TrainingBatches::Numbers> measured_on(const TrainingBatches& batches, const Round& round) const {
    std::vector<TrainingBatches::Numbers> all;
    for (Extent step = round.chosen_at; step < round.end; ++step) {
      for (auto& numbers : batches.groups_of_step(step)) {
        if (static_cast<Extent>(all.size()) == green_->importance_batches) return all;
        all.push_back(std::move(numbers));
      }
    }
    return all;
  }
  /// FLOPs of measuring importances for a round, without what a memory limit has computed again.
  Flops importance_flops(const TrainingBatches& batches, const Round& round) const {
    if (!green_) return 0;
    Workload workload;
    for (const auto& numbers : measured_on(batches, round)) workload += batches.workload_of_batch(numbers);
    return importance_->flops(*graph_, workload, *optimizer_);
  }
  ImportanceDemand importance_demand() const {
    if (!green_) return {};
    const Extent gradients = importance_->full_passes() > 0 ? TransientGradients<B>::elements(*graph_) : 0;
    return {.full_passes = importance_->full_passes(),
            .gradient_elements = gradients + importance_->scratch_elements(*graph_),
            .saves_weights = importance_->saves_weights()};
  }

  /// Throws InfeasibleRatio where no tensor fits into the ratio of a round.
  void check_ratio(const TrainingBatches& batches, const Round& round, std::span<const CutForecast> forecasts) const {
    const auto none = [](const SelectionProblem& problem) {
      return SelectionResult{.mask = std::vector<bool>(problem.dag.items.size(), false)};
    };
    choose_(batches.workload_of_steps(round.first, round.end), std::vector<double>(graph_->parameters().size(), 0.0),
            green_->flops_ratio, none, forecasts, batches.workload_of_steps(round.chosen_at, round.first), frozen_);
  }
  /// Chooses for a round. Under a memory limit, `beside` tells by how much the phases beside training exceed it while a
  /// selection's state and cached values are held.
  LimitedSelection<B> choose(const TrainingBatches& batches, const Round& round, const std::vector<double>& importance,
                             std::span<const CutForecast> forecasts, const MemoryLimit<B>& memory,
                             const std::function<Bytes(const Selection&, const std::optional<Cut>&)>& beside) const {
    const Workload coming = batches.workload_of_steps(round.first, round.end),
                   in_full = batches.workload_of_steps(round.chosen_at, round.first);
    const auto choose = [&](const std::vector<double>& worth, double ratio, bool cached) {
      return choose_(coming, worth, ratio, select_, cached ? forecasts : std::span<const CutForecast>(), in_full,
                     frozen_);
    };
    if (memory.limit() == 0) {
      LimitedSelection<B> free{.chosen = choose(importance, green_->flops_ratio, true), .pass = {}};
      free.pass = memory.training(free.chosen.selection, free.chosen.cut);
      return free;
    }
    const auto price = [&](const typename MemoryLimit<B>::Pass& pass) {
      return evaluate(recomputed_cost_(pass.plan), coming);
    };
    return select_within_memory(*graph_, memory, importance, green_->flops_ratio, choose, price, beside);
  }

 private:
  using ChooseFunction =
      std::function<BudgetedSelection(const Workload&, const std::vector<double>&, double, const SelectFunction&,
                                      std::span<const CutForecast>, const Workload&, const Selection&)>;

  TensorChoice(const Model<B>& model, const Optimizer<B>& optimizer)
      : graph_(&model.graph()),
        optimizer_(&optimizer),
        choose_([graph = graph_, facts = &model.facts()](
                    const Workload& workload, const std::vector<double>& importance, double ratio,
                    const SelectFunction& select, std::span<const CutForecast> forecasts, const Workload& in_full,
                    const Selection& frozen) {
          return select_within_ratio(*graph, ExactCost<B>{}, workload, importance, ratio, select, facts->full_cost,
                                     forecasts, in_full, frozen);
        }),
        recomputed_cost_(
            [graph = graph_](const PassPlan& plan) { return pass_cost(*graph, plan, ExactCost<B>{}).recomputed; }) {}

  void check_replacement(const char* what, bool given) const {
    if (!green_)
      throw ConfigError("Trainer", what,
                        "expected a trainer that chooses by GreenOptions, got one with a fixed selection");
    if (!given) throw ConfigError("Trainer", what, "expected something to use, got nothing");
  }

  const TensorGraph<B>* graph_;
  const Optimizer<B>* optimizer_;
  std::optional<GreenOptions> green_;
  std::optional<Selection> fixed_;
  Selection frozen_;
  std::unique_ptr<Importance<B>> importance_;
  SelectFunction select_ = [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
  ChooseFunction choose_;
  std::function<LinearCost(const PassPlan&)> recomputed_cost_;
  std::string unit_ = std::string(ExactCost<B>::unit());
  bool ratio_is_of_flops_ = true;
};

}  // namespace greentrainer
