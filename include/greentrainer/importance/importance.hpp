#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "greentrainer/core/error.hpp"
#include "greentrainer/cost/exact_cost.hpp"
#include "greentrainer/cost/plan_cost.hpp"
#include "greentrainer/executor/executor.hpp"
#include "greentrainer/executor/transient_gradients.hpp"
#include "greentrainer/optim/optimizer.hpp"

namespace greentrainer {

/// What an importance metric may look at. Weights may be moved while it runs, and are bit-identical afterwards;
/// optimizer state is read only.
template <Backend B>
struct ImportanceContext {
  B& backend;
  const TensorGraph<B>& graph;
  ParameterStore<B>& parameters;
  Executor<B>& executor;
  Optimizer<B>& optimizer;
  std::span<const Batch> batches = {};  ///< at least one, but for evaluate_gradients(); a metric over several adds up
                                        ///< those of each
  std::uint64_t seed = 0;
  std::uint64_t step = 0;               ///< of training, for metrics that draw random numbers
  const Schedule* full_pass = nullptr;  ///< one that trains everything; null: without recomputation

  /// Of a pass that forms all gradients.
  Schedule full_schedule() const { return full_pass != nullptr ? *full_pass : make_schedule(graph, select_all(graph)); }
};

/// Says what training each parameter is worth: the paper's I, one number a parameter, larger is better, negative is
/// never worth it.
template <Backend B>
class Importance {
 public:
  virtual ~Importance() = default;

  virtual std::vector<double> evaluate(ImportanceContext<B>& context) const = 0;
  /// FLOPs that `evaluate` executes for batches of this total workload (measure `steps` counts the batches).
  virtual Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const = 0;
  /// How often it runs ImportanceContext::full_schedule for a batch. What such a pass computes again comes on top of
  /// `flops`.
  virtual int full_passes() const { return 0; }
  /// Whether it keeps a copy of the weights while it runs.
  virtual bool saves_weights() const { return false; }
  /// Elements it needs while it runs, beside that copy and transient gradients.
  virtual Extent scratch_elements(const TensorGraph<B>&) const { return 0; }

  /// Whether gradients of everything at the present weights are all that it looks at, so that those of a training step
  /// do. Then the two below are what they are for one batch with these gradients; else they throw ConfigError.
  virtual bool needs_gradients_alone() const { return false; }
  virtual std::vector<double> evaluate_gradients(ImportanceContext<B>&, GradientStore<B>&) const {
    throw ConfigError("Importance", "evaluate_gradients", "expected a metric that needs gradients alone, got another");
  }
  /// FLOPs that evaluate_gradients() executes.
  virtual Flops gradients_flops(const TensorGraph<B>&, const Optimizer<B>&) const {
    throw ConfigError("Importance", "gradients_flops", "expected a metric that needs gradients alone, got another");
  }
};

/// FLOPs of a forward pass and a full backward pass.
template <class P>
Flops full_pass_flops(const TensorGraph<P>& graph, const Workload& workload) {
  const ExactCost<P> cost;
  return evaluate(full_fine_tuning_cost(graph, cost), workload);
}

template <class P>
Extent parameter_elements(const TensorGraph<P>& graph) {
  Extent total = 0;
  for (const Parameter& p : graph.parameters()) total += p.size();
  return total;
}

/// FLOPs of an optimizer's candidates of all parameters.
template <Backend B>
Flops candidate_flops(const TensorGraph<B>& graph, const Optimizer<B>& optimizer) {
  Flops total = 0;
  for (const Parameter& p : graph.parameters()) total += optimizer.update_flops(p);
  return total;
}

/// Adds up one number a parameter in the backend's memory.
template <Backend B>
class ParameterSums {
 public:
  ParameterSums(B& backend, std::size_t parameters) : sums_(backend, 1, static_cast<Extent>(parameters)) {
    sums_.zero();
  }
  double* of(ParameterId id) { return sums_.data() + id; }
  std::vector<double> download() const { return sums_.download(); }

 private:
  Tensor<B, double> sums_;
};

}  // namespace greentrainer
