#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/cost/part_size.hpp"
#include "greentrainer/executor/transient_gradients.hpp"
#include "greentrainer/optim/adamw.hpp"
#include "greentrainer/train/class_energy.hpp"
#include "greentrainer/train/non_finite.hpp"

namespace greentrainer {

/// How a calibration measures.
struct CalibrationOptions {
  Extent repeats = 2;                        ///< of every pass, after one that is not counted
  Extent update_elements = Extent{4} << 20;  ///< that updates are measured on, or all that the model has
  EnergyReading energy = {};                 ///< for OperatorTimes::watts; empty: not measured
  /// Seconds between two changes of the slowest counter behind `energy`, for OperatorTimes::watts_of, such as
  /// MachineEnergy::interval's; 0: not measured.
  double energy_interval = 0;
};

namespace detail {

/// Measures the passes of one model.
template <Backend B>
class PassCalibration {
 public:
  explicit PassCalibration(Model<B>& model)
      : model_(&model),
        all_(make_schedule(model.graph(), select_all(model.graph()))),
        few_(make_schedule(model.graph(), lowest_of_the_smallest(model.graph()))),
        parts_of_all_(parts_of(all_.plan)),
        parts_of_few_(parts_of(few_.plan)),
        sink_(model.backend(), model.graph(), [](ParameterId, Matrix<typename B::Scalar>) {}) {}

  /// A pass that trains everything, and one that only passes gradients down. The difference of their times is the time
  /// of the weight gradients.
  void measure(const Batch& batch, std::uint64_t number, bool counts) {
    PassProfile few, all;
    run(few_, batch, number, few);
    const double total = run(all_, batch, number, all);
    if (!counts) return;
    const Workload workload = workload_of(batch, model_->graph().window());
    double inside = 0;
    for (OperatorId id = 0; id < static_cast<OperatorId>(model_->graph().operators().size()); ++id) {
      const auto at = static_cast<std::size_t>(id);
      const auto in_all = all.of(at), in_few = few.of(at);
      inside += in_all.forward + in_all.backward;
      add(id, workload, {forward_part}, in_all.forward);
      add(id, workload, {forward_part}, in_few.forward);
      const BitSet handed_down = parts_of_few_[at], rest = parts_of_all_[at] & ~handed_down;
      if (handed_down != 0 && rest != 0) {
        add(id, workload, numbers_of(handed_down), in_few.backward);
        add(id, workload, numbers_of(rest), in_all.backward - in_few.backward);
      } else {
        add(id, workload, numbers_of(parts_of_all_[at]), in_all.backward);
      }
    }
    outside_.push_back({1, total - inside});
  }

  /// Passes that train everything, until the classes of those operators that are long enough have watts.
  void measure(const Batch& batch, ClassEnergy& energy) {
    constexpr double patience = 2;  // seconds
    const auto start = TrainingClock::now();
    PassProfile profile;
    profile.on_operator([&](std::size_t op, double seconds) {
      energy.add(class_of(model_->graph().op(static_cast<OperatorId>(op)).op->kind()), seconds);
    });
    do {
      energy.begin();
      run(all_, batch, 0, profile);
    } while (energy.wants_more() && seconds_since(start) < patience);
  }

  void fill(OperatorTimes& times) const {
    for (const auto& [key, samples] : samples_) times.parts[key] = fit_part_time(samples);
    times.per_pass = fit_part_time(outside_).per_unit;
  }

 private:
  /// The parameter with the fewest elements; of several such, the one that is read first.
  static Selection lowest_of_the_smallest(const TensorGraph<B>& graph) {
    const auto before = [&](ParameterId a, ParameterId b) {
      return std::pair(graph.parameter(a).size(), graph.first_reader(a)) <
             std::pair(graph.parameter(b).size(), graph.first_reader(b));
    };
    ParameterId chosen = 0;
    for (ParameterId id = 1; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (before(id, chosen)) chosen = id;
    }
    Selection selection = select_none(graph);
    selection.insert(chosen);
    return selection;
  }

  std::vector<BitSet> parts_of(const PassPlan& plan) const {
    std::vector<BitSet> parts(model_->graph().operators().size(), 0);
    for (const PassPlan::Step& step : plan.steps) parts[static_cast<std::size_t>(step.op)] |= step.parts;
    return parts;
  }
  static std::vector<int> numbers_of(BitSet parts) {
    std::vector<int> numbers;
    for (int part = 0; part < 32; ++part) {
      if ((parts & bit(part)) != 0) numbers.push_back(part);
    }
    return numbers;
  }

  /// Returns the seconds of the whole pass.
  double run(const Schedule& schedule, const Batch& batch, std::uint64_t number, PassProfile& profile) {
    profile.wait_for_every_operator(true);
    const DropoutSeed dropout{.seed = 0, .pass = number};
    const auto start = TrainingClock::now();
    model_->executor().run(schedule, batch,
                           {.gradient_scale = 1.0 / static_cast<double>(std::max<Extent>(1, batch.labelled())),
                            .gradients = &sink_,
                            .dropout = &dropout,
                            .profile = &profile});
    return seconds_since(start);
  }

  /// Seconds of some parts of an operator together; each has its share by size.
  void add(OperatorId id, const Workload& workload, const std::vector<int>& parts, double seconds) {
    double units = 0;
    const auto units_of = [&](int part) {
      return static_cast<double>(evaluate(part_size(model_->graph(), id, part), workload));
    };
    for (const int part : parts) units += units_of(part);
    for (const int part : parts) {
      const double own = units_of(part);
      if (own > 0) samples_[part_key(model_->graph(), id, part)].push_back({own, seconds * own / units});
    }
  }

  Model<B>* model_;
  Schedule all_, few_;
  std::vector<BitSet> parts_of_all_, parts_of_few_;
  TransientGradients<B> sink_;
  std::map<std::string, std::vector<PartSample>> samples_;
  std::vector<PartSample> outside_;
};

/// Measures what a step does with a selection's gradients, at a learning rate of 0: weights stay what they are.
template <Backend B>
void measure_updates(Model<B>& model, Optimizer<B>& optimizer, const CalibrationOptions& options, ClassEnergy* energy,
                     OperatorTimes& times) {
  const auto& graph = model.graph();
  B& backend = model.backend();
  Selection selection = select_none(graph);
  Extent elements = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (elements >= options.update_elements) break;
    selection.insert(id);
    elements += graph.parameter(id).size();
  }
  std::map<ParameterId, Tensor<B>> instead;  // of weights that are stored in a format, which stay so
  for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
    if (!selection.contains(id) || !model.parameters().is_stored(id)) continue;
    instead.emplace(id, Tensor<B>(backend, graph.parameter(id).rows(), graph.parameter(id).cols()))
        .first->second.zero();
  }
  GradientStore<B> gradients(backend);
  gradients.select(graph, selection);
  optimizer.select(graph, selection);
  Tensor<B, double> sum(backend, 1, 1);
  const auto do_all = [&](const auto& work) {
    const auto start = TrainingClock::now();
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (selection.contains(id)) work(id);
    }
    backend.synchronize();
    return seconds_since(start);
  };
  const auto measure = [&](const auto& work) {
    std::vector<PartSample> samples;
    for (Extent repeat = 0; repeat <= options.repeats; ++repeat) {
      const double seconds = do_all(work);
      if (repeat > 0) samples.push_back({static_cast<double>(elements), seconds});
    }
    return fit_part_time(samples).per_unit;
  };
  const auto update = [&](ParameterId id) {
    gradients[id].zero();
    backend.count_non_finite(gradients[id].size(), gradients[id].data(), sum.data());
    const auto found = instead.find(id);
    optimizer.step(id, found == instead.end() ? model.parameters()[id] : found->second, gradients[id], 0.0);
  };
  times.per_update[update_key(optimizer.flops_per_element(), optimizer.state_bytes_per_element())] = measure(update);
  if (energy != nullptr) {
    double seconds = 0;
    energy->begin();
    while (seconds < energy->enough()) seconds += do_all(update);
    energy->add("updates", seconds);
  }
  times.per_clipped = measure([&](ParameterId id) {
    backend.sum_of_squares(gradients[id].size(), gradients[id].data(), sum.data());
    backend.scale(gradients[id].size(), gradients[id].data(), 1.0);
  });
}

}  // namespace detail

/// Measures what a model's operators take on its backend: forward and backward passes over these batches, which should
/// be of different sizes, and updates as this optimizer makes them (AdamWOptions, SgdOptions). Weights are afterwards
/// what they were, to the bit. Takes about 4 (repeats + 1) passes a batch and the memory of two, with energy a few
/// seconds more; adds to what `known` has. Throws ConfigError without a batch or for options out of range, DataError
/// for a batch without labels.
template <Backend B, class OptimizerOptions>
OperatorTimes calibrate(Model<B>& model, std::span<const Batch> batches, const OptimizerOptions& optimizer,
                        const CalibrationOptions& options = {}, OperatorTimes known = {}) {
  expect_option(!batches.empty(), "calibrate", "batches", "at least one", batches.size());
  expect_option(options.repeats >= 1 && options.repeats <= 1000, "calibrate", "repeats", "1 to 1000", options.repeats);
  expect_option(options.energy_interval >= 0 && options.energy_interval <= 10, "calibrate", "energy_interval",
                "0 to 10 seconds", options.energy_interval);
  expect_option(options.update_elements >= 1, "calibrate", "update_elements", "at least 1", options.update_elements);
  for (const Batch& batch : batches) {
    check_batch(model.facts(), batch);
    if (batch.labelled() == 0)
      throw DataError("calibrate", "batches", "expected labelled tokens in every batch, got one without");
  }
  detail::PassCalibration<B> passes(model);
  const auto start = TrainingClock::now();
  const std::optional<double> before = options.energy ? options.energy() : std::nullopt;
  for (Extent repeat = 0; repeat <= options.repeats; ++repeat) {
    for (const Batch& batch : batches) passes.measure(batch, static_cast<std::uint64_t>(repeat), repeat > 0);
  }
  const std::optional<double> after = options.energy ? options.energy() : std::nullopt;
  known.watts = before && after ? (*after - *before) / seconds_since(start) : 0;
  std::optional<ClassEnergy> energy;
  if (known.watts > 0 && options.energy_interval > 0) {
    energy.emplace(options.energy, options.energy_interval);
    passes.measure(batches.front(), *energy);
  }
  model.executor().release_memory();
  passes.fill(known);
  detail::measure_updates(model, *make_optimizer(model.backend(), optimizer), options, energy ? &*energy : nullptr,
                          known);
  known.watts_of.clear();
  if (energy) known.watts_of = energy->watts();
  return known;
}

}  // namespace greentrainer
