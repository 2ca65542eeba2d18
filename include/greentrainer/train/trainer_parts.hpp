#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "greentrainer/parallel/ranks.hpp"
#include "greentrainer/train/background_save.hpp"
#include "greentrainer/train/best_weights.hpp"
#include "greentrainer/train/ending.hpp"
#include "greentrainer/train/evaluation_sample.hpp"
#include "greentrainer/train/exact_gradients.hpp"
#include "greentrainer/train/fit_memory.hpp"
#include "greentrainer/train/gradient_exchange.hpp"
#include "greentrainer/train/run_identity.hpp"
#include "greentrainer/train/run_pricing.hpp"
#include "greentrainer/train/tensor_choice.hpp"
#include "greentrainer/train/training_batches.hpp"
#include "greentrainer/train/training_options.hpp"
#include "greentrainer/train/training_pass.hpp"

namespace greentrainer {

using TrainingClock = std::chrono::steady_clock;

inline double seconds_since(TrainingClock::time_point start) {
  return std::chrono::duration<double>(TrainingClock::now() - start).count();
}

/// A run between its start and its end: what it was started with, and its progress.
struct TrainingRun {
  FitOptions options;
  TrainingBatches batches;
  EvaluationSample sample;
  RunIdentity identity = {};
  TrainingClock::time_point started = TrainingClock::now();
  double earlier_callbacks = 0;  ///< seconds, before it was saved

  Extent next_step = 0;         ///< from 0
  bool selection_made = false;  ///< of what `next_step` trains
  bool is_whole = true;         ///< no step, and no choice of tensors, is half made
  bool is_finished = false;
  bool is_agreed = false;                ///< that all ranks have this run
  Extent ending_from = most_steps;       ///< the ending's first step; where there is none, no step of the run
  Selection changed = {};                ///< tensors that were ever trained
  std::optional<Cut> cut = {};           ///< of cached values, once the cache is gone
  std::vector<std::size_t> cached = {};  ///< whose values it had

  bool evaluates(Evaluations when) const { return options.evaluate == when || options.evaluate == Evaluations::both; }
};

/// What a trainer is made of, for the functions that make a run's steps. The report is that of the run so far.
template <Backend B>
struct TrainerParts {
  Model<B> model;
  std::unique_ptr<Optimizer<B>> optimizer;
  TensorChoice<B> choice;
  Selection selection = {};
  TrainingPass<B> pass;
  Selection with_state;     ///< parameters that the optimizer has state of
  Selection with_elements;  ///< parameters that are not, or no more, stored in a format
  GradientStore<B> gradients;
  GradientExchange<B> exchange;
  ExactGradients<B> exact;
  Tensor<B, double> norm;
  LinearCost full_cost = {};                  ///< of full fine-tuning
  std::optional<MemoryLimit<B>> memory = {};  ///< of the fit that runs
  std::optional<BestWeights<B>> best = {};    ///< where FitOptions::keep_best asks for them
  PassProfile profile = {};                   ///< of training passes
  std::optional<double> energy_at = {};       ///< the last reading of FitOptions::energy
  TrainingReport report = {};
  Ranks ranks = {};
  std::optional<BackgroundSave> saving = {};  ///< that was begun and not ended
  std::optional<Ending<B>> ending = {};       ///< of every run
  bool is_ending = false;                     ///< passes go through its graph

  template <class Choice>
  TrainerParts(Model<B>& of, std::unique_ptr<Optimizer<B>> with, Choice chosen)
      : model(of.share()),
        optimizer(std::move(with)),
        choice(model, *optimizer, std::move(chosen)),
        pass(model),
        with_state(select_none(of.graph())),
        with_elements(select_none(of.graph())),
        gradients(of.backend()),
        exchange(of.backend()),
        exact(of.backend()),
        norm(of.backend(), 1, 1) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(of.graph().parameters().size()); ++id) {
      if (!model.parameters().is_stored(id)) with_elements.insert(id);
    }
  }

  /// Weights that are to be trained have elements of their own, in whatever format they were stored.
  void hold_elements(const Selection& of) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(of.mask().size()); ++id) {
      if (of.contains(id)) with_elements.insert(id);
      if (of.contains(id)) model.parameters().make_elements(id);
    }
    if (memory) memory->set_trained(with_elements);
  }

  /// Whose graph passes go through.
  Model<B>& trained() { return is_ending ? ending->model : model; }

  /// Passes go through the ending's graph from now on, or through the model's, and memory is planned for it.
  void go_through(bool ending_now, const TrainingBatches& batches, std::span<const Example> evaluated,
                  const FitOptions& options) {
    if (ending) {
      trained().executor().release_memory();
      is_ending = ending_now;
      pass.go_through(trained());
    }
    const auto& graph = trained().graph();
    memory.emplace(graph,
                   fit_demand(graph, batches, evaluated, options, update_memory(*optimizer, graph), pass.cache()));
    memory->set_trained(with_elements);
  }

  std::optional<Cut> cached_cut() const { return pass.cache() == nullptr ? std::nullopt : pass.cache()->cut(); }
  /// The selection that gradients and optimizer state exist for.
  Selection held() const { return selection.mask().empty() ? select_none(model.graph()) : selection; }

  /// Runs a callback of the caller. Its time counts as `callbacks` only.
  template <class Call>
  void call_back(const Call& call) {
    const auto start = TrainingClock::now();
    call();
    report.seconds.callbacks += seconds_since(start);
  }

  /// Before a phase that takes so many bytes, as planned: waits for a save whose copy leaves no room for it.
  void make_room(Bytes phase) const {
    if (saving && !saving->leaves_room_for(phase)) saving->wait();
  }

  /// What is taken from now on belongs to training.
  void begin_energy(const FitOptions& options) { energy_at = options.energy ? options.energy() : std::nullopt; }
  /// Adds what was taken since then, or since the last call, to the report, and returns it. Where it cannot be read,
  /// the report says nothing of all.
  std::optional<double> count_energy(const FitOptions& options) {
    const std::optional<double> before = energy_at;
    begin_energy(options);
    if (!before || !energy_at) {
      report.joules.reset();
      return std::nullopt;
    }
    if (report.joules) *report.joules += *energy_at - *before;
    return *energy_at - *before;
  }

  /// Passes on the warnings of the cache, and records the bytes that it holds.
  void look_at_cache(const FitOptions& options) {
    if (pass.cache() == nullptr) return;
    report.cached_bytes = std::max(report.cached_bytes, pass.cache()->store().bytes());
    for (std::string& warning : pass.cache()->store().take_warnings()) {
      if (options.on_warning) call_back([&] { options.on_warning(warning); });
      report.warnings.push_back(std::move(warning));
    }
  }

  Flops updates_of(const Selection& of, const FitOptions& options) const {
    return RunPricing<B>(model, choice, options, run_flops(*optimizer, options)).update(of);
  }

  ImportanceContext<B> importance_context(std::span<const Batch> batches, const FitOptions& options, Extent step) {
    return {.backend = model.backend(),
            .graph = model.graph(),
            .parameters = model.parameters(),
            .executor = model.executor(),
            .optimizer = *optimizer,
            .batches = batches,
            .seed = options.seed,
            .step = static_cast<std::uint64_t>(step)};
  }
};

}  // namespace greentrainer
