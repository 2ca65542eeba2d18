#pragma once

#include <array>
#include <chrono>
#include <cstring>
#include <vector>

#include "greentrainer/executor/activation_arena.hpp"
#include "greentrainer/executor/batch_upload.hpp"
#include "greentrainer/executor/parameter_store.hpp"

namespace greentrainer {

/// A plan with its lifetimes: all that the executor follows. An empty plan is an evaluation.
struct Schedule {
  BackwardPlan plan;
  Lifetimes lifetimes;
};

template <class P>
Schedule make_schedule(const TensorGraph<P>& graph, const Selection& selection) {
  Schedule schedule{make_backward_plan(graph, selection), {}};
  schedule.lifetimes = make_lifetimes(graph, schedule.plan);
  return schedule;
}

/// Runs forward passes, and the backward passes that plans describe, over packed batches. Activations live in one block
/// that grows to the largest batch, so a step allocates nothing afterwards. Not thread-safe; the backend brings its own
/// threads.
template <Backend B>
class Executor {
 public:
  using T = typename B::Scalar;
  using Clock = std::chrono::steady_clock;

  /// What a pass took and held.
  struct Observed {
    Bytes kept_bytes = 0;       ///< live activations when the forward pass was over
    Bytes peak_live_bytes = 0;  ///< the most that was live at any time, activations and their gradients
    Bytes arena_bytes = 0;      ///< the block they lie in, workspace included
  };
  /// Seconds by operator, summed over passes.
  struct OperatorSeconds {
    double forward = 0;
    double backward = 0;
  };

  Executor(B& backend, const TensorGraph<B>& graph, ParameterStore<B>& parameters)
      : backend_(&backend),
        graph_(&graph),
        parameters_(&parameters),
        upload_(backend, graph.prefix_rows()),
        arena_(backend),
        loss_sum_(backend, 1, 1),
        seconds_(graph.operators().size()) {
    for (std::size_t p = 0; p < parameters.size(); ++p)
      parameter_matrices_.push_back(parameters[static_cast<ParameterId>(p)].matrix());
    remaining_uses_.resize(parameters.size());
  }

  /// Fills memory with NaN as soon as the schedule says that it is dead: a value that is freed too early then shows.
  void poison_dead_memory(bool on) { poison_ = on; }

  /// Runs one pass; returns the sum of the labelled rows' losses. `gradient_scale` goes into the gradients (1 /
  /// labelled tokens of the global batch). `row_losses` and `logits`, if given, are filled: (labelled) and (labelled,
  /// vocabulary), in the backend's memory. Without `dropout`, nothing is dropped.
  double run(const Schedule& schedule, const Batch& batch, double gradient_scale = 1, GradientSink<B>* sink = nullptr,
             T* row_losses = nullptr, Matrix<T> logits = {}, const DropoutSeed* dropout = nullptr) {
    dropout_ = dropout;
    const DeviceBatch device = upload_(batch);
    const Workload workload = workload_of(batch);
    prepare(schedule, workload);
    loss_sum_.zero();
    LossTarget<T> loss{loss_sum_.data(), row_losses, gradient_scale, logits};

    const int last = static_cast<int>(graph_->operators().size()) - 1;
    const bool training = !schedule.plan.empty();
    for (int time = 0; time <= last; ++time) {
      if (time == last) {
        observed_.kept_bytes = live_bytes_;
        if (training) wait(seconds_.back().forward);
      }
      begin(time);
      if (time < last || !training)
        forward(time, device, loss);
      else
        backward(schedule.plan.steps.front(), device, loss, *sink);
      end(time);
    }
    for (std::size_t s = 1; s < schedule.plan.steps.size(); ++s) {
      const auto& step = schedule.plan.steps[s];
      const int time = 2 * last - step.op;
      begin(time);
      backward(step, device, loss, *sink);
      end(time);
    }
    wait(training ? seconds_.back().backward : seconds_.back().forward);
    double sum = 0;
    backend_->copy_to_host(&sum, loss_sum_.data(), sizeof(sum));
    return sum;
  }

  /// Gives the activations' memory back: the next pass takes what it needs. For a plan that needs less than the one
  /// before.
  void release_memory() { arena_.release(); }

  const Observed& observed() const { return observed_; }
  /// Profile by operator since the last reset; indices are the graph's.
  const std::vector<OperatorSeconds>& seconds() const { return seconds_; }
  void reset_seconds() { seconds_.assign(seconds_.size(), {}); }
  /// Sets the profile back to what it was before passes that do not belong to it.
  void restore_seconds(std::vector<OperatorSeconds> seconds) { seconds_ = std::move(seconds); }

 private:
  void prepare(const Schedule& schedule, const Workload& workload) {
    arena_.lay_out(*graph_, schedule.lifetimes, workload);
    const std::size_t times = 2 * graph_->operators().size();
    born_.assign(times, {});
    dying_.assign(times, {});
    const auto& storages = schedule.lifetimes.storages;
    for (std::size_t s = 0; s < storages.size(); ++s) {
      born_[static_cast<std::size_t>(storages[s].born)].push_back(arena_.blocks()[s]);
      dying_[static_cast<std::size_t>(storages[s].dies)].push_back(arena_.blocks()[s]);
    }
    for (std::size_t p = 0; p < remaining_uses_.size(); ++p)
      remaining_uses_[p] = static_cast<int>(graph_->uses(static_cast<ParameterId>(p)).size());
    live_bytes_ = 0;
    observed_ = {.arena_bytes = arena_.bytes()};
  }

  void begin(int time) {
    for (const Block& b : born_[static_cast<std::size_t>(time)]) live_bytes_ += b.bytes;
    observed_.peak_live_bytes = std::max(observed_.peak_live_bytes, live_bytes_);
  }
  void end(int time) {
    for (const Block& b : dying_[static_cast<std::size_t>(time)]) {
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

  void forward(OperatorId id, const DeviceBatch& batch, LossTarget<T>& loss) {
    const auto start = Clock::now();
    const auto& node = graph_->op(id);
    ForwardCall<B> call{.backend = *backend_,
                        .batch = batch,
                        .loss = loss,
                        .inputs = collect(scratch_[0], node.inputs, arena_.values()),
                        .outputs = collect(scratch_[1], node.outputs, arena_.values()),
                        .parameters = collect(scratch_[2], node.parameters, parameter_matrices_),
                        .workspace = arena_.workspace(),
                        .dropout = dropout_};
    node.op->forward(call);
    seconds_[static_cast<std::size_t>(id)].forward += since(start);
  }

  void backward(const BackwardPlan::Step& step, const DeviceBatch& batch, LossTarget<T>& loss, GradientSink<B>& sink) {
    const auto start = Clock::now();
    const auto& node = graph_->op(step.op);
    const bool loss_op = node.op->is_loss();
    auto& parameter_gradients = scratch_[5];
    parameter_gradients.assign(node.parameters.size(), {});
    const auto& parts = node.op->parts();
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].kind != GradPart::Kind::parameter || ((step.parts >> p) & 1U) == 0) continue;
      const auto index = static_cast<std::size_t>(parts[p].index);
      parameter_gradients[index] = sink.gradient(node.parameters[index]);
    }
    writes_.clear();
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      writes_.push_back(graph_->contribution(step.op, static_cast<int>(i)));
    BackwardCall<B> call{
        .backend = *backend_,
        .batch = batch,
        .loss = loss,
        .parts = step.parts,
        .inputs = collect(scratch_[0], node.inputs, arena_.values(), loss_op ? ~BitSet{0} : step.keeps_inputs),
        .outputs = collect(scratch_[1], node.outputs, arena_.values(), step.keeps_outputs),
        .parameters = collect(scratch_[2], node.parameters, parameter_matrices_),
        .grad_outputs = collect(scratch_[3], node.outputs, arena_.gradients(), step.grad_outputs),
        .grad_inputs = collect(scratch_[4], node.inputs, arena_.gradients(), step.grad_inputs),
        .writes = writes_,
        .grad_parameters = parameter_gradients,
        .workspace = arena_.workspace(),
        .dropout = dropout_};
    loss.forward_seconds = 0;
    node.op->backward(call);
    auto& seconds = seconds_[static_cast<std::size_t>(step.op)];
    seconds.backward += since(start) - loss.forward_seconds;
    seconds.forward += loss.forward_seconds;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].kind != GradPart::Kind::parameter || ((step.parts >> p) & 1U) == 0) continue;
      const ParameterId id = node.parameters[static_cast<std::size_t>(parts[p].index)];
      if (--remaining_uses_[static_cast<std::size_t>(id)] == 0) sink.completed(id);
    }
  }

  /// What the backend has started and not done yet is time, too; it is added to the last operator's.
  void wait(double& seconds) {
    const auto start = Clock::now();
    backend_->synchronize();
    seconds += since(start);
  }

  static double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

  using Block = typename ActivationArena<B>::Block;

  B* backend_;
  const TensorGraph<B>* graph_;
  ParameterStore<B>* parameters_;
  BatchUpload<B> upload_;
  ActivationArena<B> arena_;
  Tensor<B, double> loss_sum_;
  std::vector<Matrix<T>> parameter_matrices_;
  std::array<std::vector<Matrix<T>>, 6> scratch_;
  std::vector<Write> writes_;
  std::vector<std::vector<Block>> born_, dying_;
  std::vector<int> remaining_uses_;
  const DropoutSeed* dropout_ = nullptr;  ///< of the pass that runs
  std::vector<OperatorSeconds> seconds_;
  Observed observed_;
  Bytes live_bytes_ = 0;
  bool poison_ = false;
};

}  // namespace greentrainer
