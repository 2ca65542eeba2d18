#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <vector>

#include "greentrainer/executor/activation_arena.hpp"
#include "greentrainer/executor/batch_upload.hpp"
#include "greentrainer/executor/parameter_store.hpp"
#include "greentrainer/executor/pass_inspector.hpp"
#include "greentrainer/executor/pass_memory.hpp"
#include "greentrainer/executor/pass_profile.hpp"

namespace greentrainer {

/// What a pass is run with, beside its schedule and its batch.
template <Backend B>
struct RunOptions {
  using T = typename B::Scalar;

  double gradient_scale = 1;             ///< goes into the gradients: 1 / labelled tokens of the global batch
  GradientSink<B>* gradients = nullptr;  ///< required by a plan that trains
  T* row_losses = nullptr;               ///< (labelled) to be filled, in the backend's memory
  Matrix<T> logits = {};                 ///< (labelled, vocabulary) to be filled, in the backend's memory
  const DropoutSeed* dropout = nullptr;  ///< without it, nothing is dropped
  PassMemory<B>* memory = nullptr;       ///< required by a plan that is given, hands out or remembers values
  PassProfile* profile = nullptr;        ///< the pass's seconds are added to it
  /// Is shown what the steps write.
  PassInspector<B>* inspector = nullptr;
};

/// Runs the passes that plans describe over packed batches. Activations live in one block that grows to the largest
/// batch, so a step allocates nothing afterwards. Not thread-safe; the backend brings its own threads.
template <Backend B>
class Executor {
 public:
  using T = typename B::Scalar;
  using Clock = std::chrono::steady_clock;

  /// What a pass held.
  struct Observed {
    Bytes kept_bytes = 0;       ///< live activations when the forward pass was over
    Bytes peak_live_bytes = 0;  ///< the most that was live at any time, activations and their gradients
    Bytes arena_bytes = 0;      ///< the block they lie in, workspace included
  };

  Executor(B& backend, const TensorGraph<B>& graph, ParameterStore<B>& parameters)
      : backend_(&backend),
        graph_(&graph),
        parameters_(&parameters),
        upload_(backend, graph.prefix_rows(), graph.has_rows(Rows::context_tokens)),
        arena_(backend),
        loss_sum_(backend, 1, 1) {}

  /// Fills memory with NaN as soon as the schedule says that it is dead: a value that is freed too early then shows.
  void poison_dead_memory(bool on) { poison_ = on; }

  /// Runs one pass; returns the sum of the labelled rows' losses.
  double run(const Schedule& schedule, const Batch& batch, const RunOptions<B>& options = {}) {
    const DeviceBatch uploaded = upload_(batch);
    return run(schedule, uploaded, workload_of(batch, graph_->window()), options, upload_.numbers());
  }
  /// The same for a batch on the device. The workload says how many rows values have; the loss is 0 where the batch has
  /// no labels.
  double run(const Schedule& schedule, const DeviceBatch& batch, const Workload& workload, const RunOptions<B>& options,
             const DeviceNumbers<T>& numbers = {}) {
    const PassPlan& plan = schedule.plan;
    check(plan, options);
    options_ = &options;
    numbers_ = numbers;
    prepare(schedule, workload);
    loss_sum_.zero();
    LossTarget<T> loss{loss_sum_.data(), options.row_losses, options.gradient_scale, options.logits};
    for (const ValueId v : plan.given) values_[static_cast<std::size_t>(v)] = options.memory->given(v);

    for (std::size_t now = 0; now < plan.steps.size(); ++now) {
      const PassPlan::Step& step = plan.steps[now];
      if (static_cast<int>(now) == schedule.lifetimes.turning_point) {
        observed_.kept_bytes = live_bytes_;
        if (plan.trains() && now > 0) wait(plan.steps[now - 1]);
      }
      begin(schedule.lifetimes, now);
      if (step.is_backward())
        backward(step, batch, loss);
      else
        forward(step, batch, loss);
      end(now);
    }
    if (!plan.steps.empty()) wait(plan.steps.back());
    flops_beyond_plan_ = loss.flops_beyond_plan;
    double sum = 0;
    if (batch.labels != nullptr) backend_->copy_to_host(&sum, loss_sum_.data(), sizeof(sum));
    return sum;
  }

  /// Gives the activations' memory back: the next pass takes what it needs. For a plan that needs less than the one
  /// before.
  void release_memory() {
    arena_.release();
    prepared_.reset();
  }

  const Observed& observed() const { return observed_; }
  /// What the last pass executed beyond its price: other than 0 only where routing decides it (Expert).
  Flops flops_beyond_plan() const { return flops_beyond_plan_; }

 private:
  /// What the memory is laid out for.
  struct Prepared {
    Lifetimes lifetimes;
    Workload workload, laid_out_for;
  };

  static void check(const PassPlan& plan, const RunOptions<B>& options) {
    if (plan.trains() && options.gradients == nullptr)
      throw ConfigError("Executor::run", "gradients", "expected a sink for a plan that trains, got none");
    const bool exchanges = !plan.given.empty() || !plan.taken.empty() ||
                           std::any_of(plan.steps.begin(), plan.steps.end(),
                                       [](const PassPlan::Step& step) { return step.remembered != 0; });
    if (exchanges && options.memory == nullptr)
      throw ConfigError("Executor::run", "memory", "expected one for a plan that exchanges values, got none");
  }

  /// Lays memory out, unless it is for the same lifetimes and workload: generation runs the same pass token by token.
  void prepare(const Schedule& schedule, const Workload& workload) {
    const Workload& laid_out_for = schedule.laid_out_for(workload);
    if (!prepared_ || prepared_->workload != workload || prepared_->laid_out_for != laid_out_for ||
        prepared_->lifetimes != schedule.lifetimes) {
      prepared_.reset();
      arena_.lay_out(*graph_, schedule.lifetimes, workload, laid_out_for);
      const auto& storages = schedule.lifetimes.storages;
      const std::size_t times = schedule.plan.steps.size();
      born_.assign(times, {});
      dying_.assign(times, {});
      for (std::size_t s = 0; s < storages.size(); ++s) {
        born_[static_cast<std::size_t>(storages[s].born)].push_back(arena_.blocks()[s]);
        dying_[static_cast<std::size_t>(storages[s].dies)].push_back(arena_.blocks()[s]);
      }
      prepared_ = Prepared{schedule.lifetimes, workload, laid_out_for};
    }
    values_.assign(graph_->values().size(), {});
    next_placement_ = 0;
    remaining_uses_.assign(parameters_->size(), 0);
    for (const PassPlan::Step& step : schedule.plan.steps)
      for_each_parameter_gradient(
          step, [&](std::size_t, ParameterId id) { ++remaining_uses_[static_cast<std::size_t>(id)]; });
    taken_.assign(graph_->values().size(), false);
    for (const ValueId v : schedule.plan.taken) taken_[static_cast<std::size_t>(v)] = true;
    live_bytes_ = 0;
    observed_ = {.arena_bytes = arena_.bytes()};
  }

  void begin(const Lifetimes& lifetimes, std::size_t now) {
    for (; next_placement_ < lifetimes.values.size() && lifetimes.values[next_placement_].step == static_cast<int>(now);
         ++next_placement_) {
      // The old place of a value that is computed again is read no more.
      const auto v = static_cast<std::size_t>(lifetimes.values[next_placement_].value);
      values_[v] = arena_.placed()[next_placement_];
    }
    for (const Block& b : born_[now]) live_bytes_ += b.bytes;
    observed_.peak_live_bytes = std::max(observed_.peak_live_bytes, live_bytes_);
  }
  void end(std::size_t now) {
    for (const Block& b : dying_[now]) {
      live_bytes_ -= b.bytes;
      if (!poison_ || b.bytes == 0) continue;
      const std::vector<unsigned char> nan(static_cast<std::size_t>(b.bytes), 0xff);
      backend_->copy_from_host(b.data, nan.data(), b.bytes);
    }
  }

  template <class Source>
  std::span<const Matrix<T>> collect(std::vector<Matrix<T>>& into, const std::vector<int>& ids, const Source& from,
                                     BitSet wanted = ~BitSet{0}) {
    into.clear();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      into.push_back(((wanted >> i) & 1U) != 0 ? from[static_cast<std::size_t>(ids[i])] : Matrix<T>{});
    }
    return into;
  }
  std::span<const Weight<T>> weights_of(const typename TensorGraph<B>::Operator& node) {
    weights_.clear();
    for (const ParameterId id : node.parameters) weights_.push_back(parameters_->weight(id));
    return weights_;
  }
  std::span<const Matrix<T>> remembered(const PassPlan::Step& step) {
    if (step.remembered == 0) return {};
    const auto& inputs = graph_->op(step.op).inputs;
    auto& caches = scratch_[3];
    caches.assign(inputs.size(), {});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (((step.remembered >> i) & 1U) != 0) caches[i] = options_->memory->remembered(inputs[i]);
    }
    return caches;
  }

  void forward(const PassPlan::Step& step, const DeviceBatch& batch, LossTarget<T>& loss) {
    const auto start = Clock::now();
    const auto& node = graph_->op(step.op);
    ForwardCall<B> call{.backend = *backend_,
                        .batch = batch,
                        .loss = loss,
                        .inputs = collect(scratch_[0], node.inputs, values_, step.inputs),
                        .outputs = collect(scratch_[1], node.outputs, values_, step.outputs),
                        .parameters = weights_of(node),
                        .workspace = arena_.workspace(),
                        .dropout = options_->dropout,
                        .caches = remembered(step),
                        .numbers = numbers_};
    node.op->forward(call);
    if (options_->inspector != nullptr) options_->inspector->look(step, call.outputs);
    if (options_->profile != nullptr) {
      wait_where_asked();
      options_->profile->add(static_cast<std::size_t>(step.op), {.forward = since(start)});
    }
    for (const ValueId v : node.outputs) {
      if (step.phase == PassPlan::Phase::forward && taken_[static_cast<std::size_t>(v)])
        options_->memory->take(v, values_[static_cast<std::size_t>(v)]);
    }
  }

  /// Calls use(index among the operator's parameters, parameter) for each parameter gradient of a backward step.
  template <class Function>
  void for_each_parameter_gradient(const PassPlan::Step& step, Function&& use) const {
    if (!step.is_backward()) return;
    const auto& node = graph_->op(step.op);
    const auto& parts = node.op->parts();
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].kind != GradPart::Kind::parameter || ((step.parts >> p) & 1U) == 0) continue;
      const auto index = static_cast<std::size_t>(parts[p].index);
      use(index, node.parameters[index]);
    }
  }

  void backward(const PassPlan::Step& step, const DeviceBatch& batch, LossTarget<T>& loss) {
    const auto start = Clock::now();
    const auto& node = graph_->op(step.op);
    GradientSink<B>& sink = *options_->gradients;
    auto& parameter_gradients = scratch_[5];
    parameter_gradients.assign(node.parameters.size(), {});
    for_each_parameter_gradient(
        step, [&](std::size_t index, ParameterId id) { parameter_gradients[index] = sink.gradient(id); });
    writes_.clear();
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      writes_.push_back(graph_->contribution(step.op, static_cast<int>(i)));
    BackwardCall<B> call{.backend = *backend_,
                         .batch = batch,
                         .loss = loss,
                         .parts = step.parts,
                         .inputs = collect(scratch_[0], node.inputs, values_, step.inputs),
                         .outputs = collect(scratch_[1], node.outputs, values_, step.outputs),
                         .parameters = weights_of(node),
                         .grad_outputs = collect(scratch_[3], node.outputs, arena_.gradients(), step.grad_outputs),
                         .grad_inputs = collect(scratch_[4], node.inputs, arena_.gradients(), step.grad_inputs),
                         .writes = writes_,
                         .grad_parameters = parameter_gradients,
                         .workspace = arena_.workspace(),
                         .dropout = options_->dropout,
                         .numbers = numbers_};
    loss.forward_seconds = 0;
    node.op->backward(call);
    if (options_->inspector != nullptr) {
      options_->inspector->look(step, call.grad_inputs);
      options_->inspector->look(step, call.grad_parameters);
    }
    if (options_->profile != nullptr) {
      wait_where_asked();
      options_->profile->add(static_cast<std::size_t>(step.op),
                             {.forward = loss.forward_seconds, .backward = since(start) - loss.forward_seconds});
    }
    for_each_parameter_gradient(step, [&](std::size_t, ParameterId id) {
      if (--remaining_uses_[static_cast<std::size_t>(id)] == 0) sink.completed(id);
    });
  }

  void wait_where_asked() {
    if (options_->profile->waits_for_every_operator()) backend_->synchronize();
  }
  /// Waits for queued work; its time is added to the step's.
  void wait(const PassPlan::Step& step) {
    const auto start = Clock::now();
    backend_->synchronize();
    if (options_->profile == nullptr) return;
    auto& seconds = options_->profile->of(static_cast<std::size_t>(step.op));
    (step.is_backward() ? seconds.backward : seconds.forward) += since(start);
  }

  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  using Block = typename ActivationArena<B>::Block;

  B* backend_;
  const TensorGraph<B>* graph_;
  const ParameterStore<B>* parameters_;
  BatchUpload<B> upload_;
  ActivationArena<B> arena_;
  Tensor<B, double> loss_sum_;
  std::optional<Prepared> prepared_;
  std::vector<std::vector<Block>> born_, dying_;

  // Of the pass that runs.
  const RunOptions<B>* options_ = nullptr;
  DeviceNumbers<T> numbers_ = {};
  std::vector<Matrix<T>> values_;
  std::size_t next_placement_ = 0;
  std::vector<int> remaining_uses_;
  std::vector<bool> taken_;
  Bytes live_bytes_ = 0;
  Flops flops_beyond_plan_ = 0;

  std::array<std::vector<Matrix<T>>, 6> scratch_;
  std::vector<Weight<T>> weights_;
  std::vector<Write> writes_;
  Observed observed_;
  bool poison_ = false;
};

}  // namespace greentrainer
