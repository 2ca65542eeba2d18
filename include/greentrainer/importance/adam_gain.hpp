#pragma once

#include <cmath>
#include <optional>

#include "greentrainer/importance/candidate_updates.hpp"

namespace greentrainer {

/// I_k = - g dw - 1/2 dw H dw: what tensor k's update dw gains by a model of the loss with a diagonal curvature, that
/// which Adam's step is the minimum of: H = (sqrt(v) + epsilon) / learning rate, v being the second moment. Then
/// H dw = -m, with m the first moment, both as the step sees them, and I_k = - (g - m / 2) dw. Unlike first order, it
/// tells tensors whose gradient agrees with their moments from those that turn. A tensor without state has m = g, and
/// half of its first-order importance. Weight decay is part of dw, and not of H. For optimizers with a running mean of
/// gradients alone, ConfigError for others.
template <Backend B>
class AdamGainImportance final : public Importance<B> {
 public:
  using T = typename B::Scalar;

  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    const std::optional<double> decay = c.optimizer.gradient_mean_decay();
    if (!decay) {
      throw ConfigError(
          "importance", "adam-gain",
          text("expected an optimizer with a running mean of gradients, as AdamW, got ", c.optimizer.description()));
    }
    const std::size_t count = c.graph.parameters().size();
    CandidateUpdates<B> updates(c);
    ParameterSums<B> by_gradients(c.backend, count), by_means(c.backend, count);
    const Schedule schedule = c.full_schedule();
    for (const Batch& batch : c.batches) {
      TransientGradients<B> sink(c.backend, c.graph, [&](ParameterId id, Matrix<T> gradient) {
        updates.make(id, gradient);
        updates.add_product(gradient.data, by_gradients.of(id));
        updates.add_product(has_mean(c.optimizer, id) ? mean_of(c.optimizer, id) : gradient.data, by_means.of(id));
      });
      c.executor.run(schedule, batch,
                     {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
    }
    std::vector<double> importance = by_gradients.download();
    const std::vector<double> means = by_means.download();
    for (std::size_t i = 0; i < count; ++i) {
      const auto id = static_cast<ParameterId>(i);
      const double kept = has_mean(c.optimizer, id) ? *decay : 0;
      const double corrected = 1 - std::pow(kept, static_cast<double>(c.optimizer.updates(id) + 1));
      const double of_mean = (kept * means[i] + (1 - kept) * importance[i]) / corrected;
      importance[i] = of_mean / 2 - importance[i];
    }
    return importance;
  }
  /// The same whatever has state, so that a run can be planned before it has any.
  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return full_pass_flops(graph, workload) +
           workload[Measure::steps] * (candidate_flops(graph, optimizer) + 6 * parameter_elements(graph));
  }
  int full_passes() const override { return 1; }
  Extent scratch_elements(const TensorGraph<B>& graph) const override {
    return CandidateUpdates<B>::scratch_elements(graph);
  }

 private:
  static bool has_mean(const Optimizer<B>& optimizer, ParameterId id) { return optimizer.updates(id) > 0; }
  static const T* mean_of(Optimizer<B>& optimizer, ParameterId id) {
    return optimizer.state_tensors(id).front().tensor->data();
  }
};

}  // namespace greentrainer
