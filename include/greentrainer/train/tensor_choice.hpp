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
#include "greentrainer/models/adapters.hpp"
#include "greentrainer/models/model.hpp"
#include "greentrainer/optim/optimizer.hpp"
#include "greentrainer/select/drawn_importance.hpp"
#include "greentrainer/select/limited_selection.hpp"
#include "greentrainer/select/worth_of_blocks.hpp"
#include "greentrainer/train/branch_rotation.hpp"
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
    double flops_ratio = 0;   ///< where tensors are chosen
    bool trains_all = false;  ///< of a Phase that trains everything but what is frozen
  };

  /// Throws ConfigError for options out of range.
  TensorChoice(const Model<B>& model, const Optimizer<B>& optimizer, GreenOptions green)
      : TensorChoice(model, optimizer) {
    check_options(green);
    trains_all_ = without_frozen(*graph_, select_all(*graph_), green.freeze);
    if (!green.freeze.empty()) frozen_ = select_listed(*graph_, green.freeze, "freeze");
    add_pairs();
    if (model.facts().full_cost) {
      for (const Phase& phase : green.phases)
        expect_option(!phase.trains_all(), "Trainer", "phases",
                      "ratios below 1 for a model with adapters, all of which costs more", phase.flops_ratio);
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
  void use_passing(const PassingOptions& options) {
    if (green_ && options.every) {
      throw ConfigError("Trainer", "use_passing",
                        text("expected no PassingOptions::every beside GreenOptions::reselect_every, with which "
                             "branches are drawn, got ",
                             text_of(*options.every)));
    }
    if (has_phase_of_all()) {
      throw ConfigError("Trainer", "use_passing",
                        "expected no phase of ratio 1, whose gradients would not be those of everything, got one");
    }
    if (fixed_ && !fixed_->detached().empty())
      throw ConfigError("Trainer", "use_passing", "expected a selection without detached inputs of its own, got some");
    rotation_.emplace(*graph_, options);
  }
  template <CostModel<TensorGraph<B>> C>
  void use_cost_model(C cost) {
    check_replacement("use_cost_model", true);
    unit_ = C::unit();
    ratio_is_of_flops_ = false;
    choose_ = [graph = graph_, cost](const Workload& workload, const std::vector<double>& importance, double ratio,
                                     const SelectFunction& select, const SelectionTerms& terms) {
      return select_within_ratio(*graph, cost, workload, importance, ratio, select, terms);
    };
    recomputed_cost_ = [graph = graph_, cost](const PassPlan& plan) {
      return pass_cost(*graph, plan, cost).recomputed;
    };
  }

  /// Adds to the identity what the choice depends on, by the options' names. Of a replaced part it only says that it
  /// was replaced.
  void add_identity(RunIdentity& identity) const {
    if (fixed_) identity["selection"] = identity_of(*fixed_);
    if (rotation_) {
      const PassingOptions& o = rotation_->options();
      identity["passing"] = text("rotating, exact share ", exact_text(o.exact_share), ", seed ", o.seed,
                                 fixed_ ? ", every " + text_of(o.every.value_or(Interval{})) : "");
    }
    if (!green_) return;
    identity["flops_ratio"] = exact_text(green_->flops_ratio);
    if (!green_->phases.empty()) identity["phases"] = text_of(green_->phases);
    identity["importance"] = green_->importance;
    identity["importance_batches"] = text(green_->importance_batches);
    identity["importance_step"] = text(green_->importance_step);
    if (green_->worth != "additive") identity["worth"] = green_->worth;
    if (green_->sampling == Sampling::importance) identity["sampling"] = "importance";
    identity["reselect_every"] = text_of(green_->reselect_every);
    identity["freeze"] = frozen_.mask().empty() ? "none" : identity_of(frozen_);
    identity["cost_unit"] = unit_;
  }

  /// Has a fixed selection taken anew at this step, with which the run's ending begins; the run's end: never.
  void take_anew(Extent step) { anew_ = step; }

  /// Null where tensors are chosen.
  const Selection* fixed() const { return fixed_ ? &*fixed_ : nullptr; }
  /// Null where all gradients are exact.
  const BranchRotation* rotation() const { return rotation_ ? &*rotation_ : nullptr; }
  /// What is detached from a step on for which tensors are chosen.
  DetachedInputs detached(Extent step) const {
    if (rotation_) return rotation_->detached(step);
    return fixed_ ? fixed_->detached() : DetachedInputs();
  }
  /// Tensors that are never chosen; empty where any may be.
  const Selection& frozen() const { return frozen_; }
  /// Whether the step at which tensors are chosen trains everything and its gradients say what to choose.
  bool in_step() const { return green_ && green_->importance_step; }
  /// Where tensors are chosen.
  const Importance<B>& importance() const { return *importance_; }
  /// Whether ratios are of FLOPs, rather than of a cost model's unit.
  bool ratio_is_of_flops() const { return ratio_is_of_flops_; }
  /// Whether some phase trains everything but what is frozen.
  bool has_phase_of_all() const {
    return green_ && std::ranges::any_of(green_->phases, [](const Phase& phase) { return phase.trains_all(); });
  }
  /// Of the costs that tensors are chosen by.
  const std::string& unit() const { return unit_; }

  /// The next step, not before `step`, at which tensors are chosen, or branches are drawn. A fixed selection alone is
  /// chosen at step 0, and where the ending begins. Within a phase these are counted from its first step on.
  Extent next(Extent step, const TrainingBatches& batches) const { return next(step, batches, batches.steps()); }
  /// What is trained with the selection of this step.
  Round round(Extent step, const TrainingBatches& batches) const { return round(step, batches, batches.steps()); }
  /// The same for a run of the first so many steps.
  Round round(Extent step, const TrainingBatches& batches, Extent steps) const {
    Round round{.chosen_at = step,
                .first = in_step() ? step + 1 : step,
                .end = std::min(steps, next(step + 1, batches, steps))};
    if (!green_) return round;
    round.flops_ratio = green_->flops_ratio;
    if (green_->phases.empty() || step >= steps) return round;
    const Phase& phase = green_->phases[phase_of(green_->phases, step, steps)];
    round.flops_ratio = phase.flops_ratio;
    round.trains_all = phase.trains_all();
    return round;
  }
  /// What a round trains, where that is known before anything is measured; null where tensors are chosen.
  const Selection* known(const Round& round) const {
    return fixed_ ? &*fixed_ : round.trains_all ? &trains_all_ : nullptr;
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
    if (known(round) != nullptr) return 0;
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

  /// Throws ConfigError for a run that is too short for a phase.
  void check_phases_of(const TrainingBatches& batches) const {
    for (std::size_t i = 0; green_ && i < green_->phases.size(); ++i) {
      if (first_step_of(green_->phases, i, batches.steps()) < first_step_of(green_->phases, i + 1, batches.steps()))
        continue;
      throw ConfigError("fit", "phases",
                        text("expected a step or more of the run's ", batches.steps(), " in each phase, got none for ",
                             green_->phases[i].steps, " of them; give it a larger share, or take more steps"));
    }
  }
  /// The first rounds of the phases that choose; with GreenOptions::importance_step all rounds, each of which pays for
  /// a step that trains everything.
  std::vector<Round> rounds_to_check(const TrainingBatches& batches) const {
    std::vector<Round> rounds;
    for (Extent step = 0; green_ && step < batches.steps();) {
      rounds.push_back(round(step, batches));
      step = in_step() ? next(step + 1, batches) : phase_end(step, batches.steps());
      if (rounds.back().trains_all) rounds.pop_back();
    }
    return rounds;
  }
  /// Throws InfeasibleRatio, or ConfigError of phases, where no tensor fits into the ratio of a round. A ratio that
  /// only values cached in an earlier phase would make feasible is refused as well.
  void check_ratio(const TrainingBatches& batches, const Round& round, std::span<const CutForecast> forecasts) const {
    const auto none = [](const SelectionProblem& problem) {
      return SelectionResult{.mask = std::vector<bool>(problem.dag.items.size(), false)};
    };
    try {
      choose_(batches.workload_of_steps(round.first, round.end), std::vector<double>(graph_->parameters().size(), 0.0),
              round.flops_ratio, none,
              terms(detached(round.first), batches.workload_of_steps(round.chosen_at, round.first), forecasts));
    } catch (const InfeasibleRatio& error) {
      if (green_->phases.empty()) throw;
      throw ConfigError("fit", "phases",
                        text("expected ratios of at least ", error.smallest(),
                             ", the forward pass and the cheapest tensor, got ", round.flops_ratio));
    }
  }
  /// What `choose` is to be given for a round: importances as they were measured, or a draw of them. Those of a pair
  /// are taken together, and each weight of the two has the same share.
  std::vector<double> to_choose_by(std::vector<double> importance, const Round& round, std::uint64_t seed) const {
    const auto at = [&](ParameterId id) -> double& { return importance[static_cast<std::size_t>(id)]; };
    for (const auto& [one, other] : pairs_) at(other) += std::exchange(at(one), 0.0);
    if (green_->sampling == Sampling::importance)
      importance = drawn_importance(std::move(importance), seed, static_cast<std::uint64_t>(round.first));
    for (const auto& [one, other] : pairs_) {
      const auto first = static_cast<double>(graph_->parameter(one).size()),
                 second = static_cast<double>(graph_->parameter(other).size());
      at(one) = at(other) * first / (first + second);
      at(other) -= at(one);
    }
    return importance;
  }
  /// Chooses for a round. Under a memory limit, `beside` tells by how much the phases beside training exceed it while a
  /// selection's state and cached values are held.
  LimitedSelection<B> choose(const TrainingBatches& batches, const Round& round, const std::vector<double>& importance,
                             std::span<const CutForecast> forecasts, const MemoryLimit<B>& memory,
                             const std::function<Bytes(const Selection&, const std::optional<Cut>&)>& beside) const {
    const Workload coming = batches.workload_of_steps(round.first, round.end),
                   in_full = batches.workload_of_steps(round.chosen_at, round.first);
    const DetachedInputs drawn = detached(round.first);
    const SelectFunction select = with_worth(*graph_, *layer_prefixes_, parse_worth(green_->worth), select_);
    const auto choose = [&](const std::vector<double>& importances, double ratio, bool cached) {
      return choose_(coming, importances, ratio, select,
                     terms(drawn, in_full, cached ? forecasts : std::span<const CutForecast>()));
    };
    if (memory.limit() == 0) {
      LimitedSelection<B> free{.chosen = choose(importance, round.flops_ratio, true), .pass = {}};
      free.pass = memory.training(free.chosen.selection, free.chosen.cut);
      return free;
    }
    const auto price = [&](const typename MemoryLimit<B>::Pass& pass) {
      return evaluate(recomputed_cost_(pass.plan), coming);
    };
    return select_within_memory(*graph_, memory, importance, round.flops_ratio, choose, price, beside, pairs_);
  }

 private:
  using ChooseFunction = std::function<BudgetedSelection(const Workload&, const std::vector<double>&, double,
                                                         const SelectFunction&, const SelectionTerms&)>;

  TensorChoice(const Model<B>& model, const Optimizer<B>& optimizer)
      : graph_(&model.graph()),
        layer_prefixes_(&model.facts().layer_prefixes),
        optimizer_(&optimizer),
        choose_([graph = graph_, facts = &model.facts()](const Workload& workload,
                                                         const std::vector<double>& importance, double ratio,
                                                         const SelectFunction& select, SelectionTerms terms) {
          terms.full = facts->full_cost;
          return select_within_ratio(*graph, ExactCost<B>{}, workload, importance, ratio, select, terms);
        }),
        recomputed_cost_(
            [graph = graph_](const PassPlan& plan) { return pass_cost(*graph, plan, ExactCost<B>{}).recomputed; }) {}

  SelectionTerms terms(const DetachedInputs& drawn, const Workload& in_full,
                       std::span<const CutForecast> forecasts) const {
    return {.forecasts = forecasts, .in_full = in_full, .frozen = frozen_, .detached = drawn, .pairs = pairs_};
  }
  /// LoRA's matrices of a layer are chosen together: A has no gradient while B is zero, and nothing to do without it.
  void add_pairs() {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph_->parameters().size()); ++id) {
      const auto lora = lora_of(*graph_, id);
      if (!lora || (!frozen_.mask().empty() && (frozen_.contains(lora->a) || frozen_.contains(lora->b)))) continue;
      pairs_.emplace_back(lora->a, lora->b);
    }
  }
  /// The first step behind the phase of a step of a run of so many.
  Extent phase_end(Extent step, Extent steps) const {
    if (!green_ || green_->phases.empty()) return steps;
    return first_step_of(green_->phases, phase_of(green_->phases, step, steps) + 1, steps);
  }
  Extent next(Extent step, const TrainingBatches& batches, Extent steps) const {
    if (!green_ && !rotation_) return step == 0 ? 0 : std::min(steps, step <= anew_ ? anew_ : steps);
    if (step >= steps) return steps;
    const Interval interval = green_ ? green_->reselect_every : rotation_->options().every.value_or(Interval{});
    Extent begin = 0, every = interval.steps(batches.steps_per_epoch());
    if (green_ && !green_->phases.empty()) {
      const std::size_t number = phase_of(green_->phases, step, steps);
      begin = first_step_of(green_->phases, number, steps);
      if (green_->phases[number].trains_all()) every = steps;  // nothing else to choose
    }
    return std::min(phase_end(step, steps), begin + (step - begin + every - 1) / every * every);
  }

  void check_replacement(const char* what, bool given) const {
    if (!green_)
      throw ConfigError("Trainer", what,
                        "expected a trainer that chooses by GreenOptions, got one with a fixed selection");
    if (!given) throw ConfigError("Trainer", what, "expected something to use, got nothing");
  }

  const TensorGraph<B>* graph_;
  const std::vector<std::string>* layer_prefixes_;
  const Optimizer<B>* optimizer_;
  std::optional<GreenOptions> green_;
  std::optional<Selection> fixed_;
  std::optional<BranchRotation> rotation_;
  Selection frozen_, trains_all_;
  std::vector<ParameterPair> pairs_;
  std::unique_ptr<Importance<B>> importance_;
  SelectFunction select_ = [](const SelectionProblem& problem) { return ExactSelector{}.select(problem); };
  ChooseFunction choose_;
  std::function<LinearCost(const PassPlan&)> recomputed_cost_;
  std::string unit_ = std::string(ExactCost<B>::unit());
  bool ratio_is_of_flops_ = true;
  Extent anew_ = most_steps;
};

}  // namespace greentrainer
