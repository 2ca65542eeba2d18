#pragma once

#include "greentrainer/core/random.hpp"
#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// I_k = |dL/dw_k|, summed over the batches: the Euclidean norm of the gradient.
template <Backend B>
class GradientNormImportance final : public Importance<B> {
 public:
  using T = typename B::Scalar;

  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    const Schedule schedule = c.full_schedule();
    std::vector<double> importance(c.graph.parameters().size(), 0.0);
    for (const Batch& batch : c.batches) {
      ParameterSums<B> squares(c.backend, importance.size());
      TransientGradients<B> sink(c.backend, c.graph, [&](ParameterId id, Matrix<T> gradient) {
        c.backend.sum_of_squares(gradient.size(), gradient.data, squares.of(id));
      });
      c.executor.run(schedule, batch,
                     {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
      const std::vector<double> sums = squares.download();
      for (std::size_t i = 0; i < sums.size(); ++i) importance[i] += std::sqrt(sums[i]);
    }
    return importance;
  }
  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>&) const override {
    return full_pass_flops(graph, workload) + 2 * workload[Measure::steps] * parameter_elements(graph);
  }
  int full_passes() const override { return 1; }
};

/// I_k = |w_k|: the Euclidean norm of the weights. No pass at all.
template <Backend B>
class MagnitudeImportance final : public Importance<B> {
 public:
  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    ParameterSums<B> squares(c.backend, c.graph.parameters().size());
    ReadableElements<B> weights(c.backend, c.parameters);
    for (ParameterId id = 0; id < static_cast<ParameterId>(c.graph.parameters().size()); ++id) {
      const Matrix<const typename B::Scalar> elements = weights(id);
      c.backend.sum_of_squares(elements.size(), elements.data, squares.of(id));
    }
    std::vector<double> importance = squares.download();
    for (double& value : importance) value = std::sqrt(value);
    return importance;
  }
  Flops flops(const TensorGraph<B>& graph, const Workload&, const Optimizer<B>&) const override {
    return 2 * parameter_elements(graph);
  }
  Extent scratch_elements(const TensorGraph<B>& graph) const override { return ReadableElements<B>::elements(graph); }
};

/// Uniform in (0, 1], from the seed and the step: what a metric must beat.
template <Backend B>
class RandomImportance final : public Importance<B> {
 public:
  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    CounterRandom random(c.seed, "importance", c.step);
    std::vector<double> importance(c.graph.parameters().size());
    for (double& value : importance) value = 1 - random.uniform();
    return importance;
  }
  Flops flops(const TensorGraph<B>&, const Workload&, const Optimizer<B>&) const override { return 0; }
};

}  // namespace greentrainer
