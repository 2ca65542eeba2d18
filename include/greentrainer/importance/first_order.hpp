#pragma once

#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// I_k = - sum(dL/dw_k * dw_k) with the gradient at the present weights: half the cost of the paper's metric, blind to
/// how updates interact.
template <Backend B>
class FirstOrderImportance final : public Importance<B> {
 public:
  using T = typename B::Scalar;

  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    ParameterSums<B> sums(c.backend, c.graph.parameters().size());
    Tensor<B> updated(c.backend, 1, scratch_elements(c.graph));
    const Schedule schedule = c.full_schedule();
    for (const Batch& batch : c.batches) {
      TransientGradients<B> sink(c.backend, c.graph, [&](ParameterId id, Matrix<T> gradient) {
        const Tensor<B>& weights = c.parameters[id];
        c.backend.copy(updated.data(), weights.data(), weights.bytes());
        c.optimizer.candidate(id, Matrix<T>(updated.data(), weights.rows(), weights.cols()), gradient,
                              c.optimizer.peak_learning_rate());
        c.backend.update_dot(gradient.size(), gradient.data, updated.data(), weights.data(), sums.of(id));
      });
      c.executor.run(schedule, batch,
                     {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
    }
    std::vector<double> importance = sums.download();
    for (double& value : importance) value = -value;
    return importance;
  }

  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return full_pass_flops(graph, workload) +
           workload[Measure::steps] * parameter_elements(graph) * (optimizer.flops_per_element() + 3);
  }
  int full_passes() const override { return 1; }
  /// One tensor after its update.
  Extent scratch_elements(const TensorGraph<B>& graph) const override {
    Extent largest = 0;
    for (const Parameter& p : graph.parameters()) largest = std::max(largest, p.size());
    return largest;
  }
};

}  // namespace greentrainer
