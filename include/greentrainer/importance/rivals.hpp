#pragma once

#include "greentrainer/core/random.hpp"
#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// Metrics that are made of the sums of squares of each tensor's gradient, batch by batch.
template <Backend B>
class GradientSquares : public Importance<B> {
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
      for (std::size_t i = 0; i < sums.size(); ++i) importance[i] += worth_of(sums[i]);
    }
    return importance;
  }
  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>&) const override {
    return full_pass_flops(graph, workload) + 2 * workload[Measure::steps] * parameter_elements(graph);
  }
  int full_passes() const override { return 1; }

 private:
  /// What a batch adds to the importance of a tensor whose gradient has this sum of squares.
  virtual double worth_of(double squares) const = 0;
};

/// I_k = |dL/dw_k|, summed over the batches: the Euclidean norm of the gradient.
template <Backend B>
class GradientNormImportance final : public GradientSquares<B> {
  double worth_of(double squares) const override { return std::sqrt(squares); }
};

/// I_k = sum((dL/dw_k)^2), summed over the batches: the trace of the diagonal of the empirical Fisher information, of
/// batches instead of examples (Sung et al. 2021, arXiv 2111.09839, take it weight by weight). It adds up over tensors
/// by definition, as the selection assumes; the selector weighs it against the cost.
template <Backend B>
class FisherImportance final : public GradientSquares<B> {
  double worth_of(double squares) const override { return squares; }
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

/// I_k = |dL/dw_k| / |w_k|, summed over the batches: how far a step along the gradient moves a tensor as a share of
/// itself (Lee et al. 2022, "Surgical Fine-Tuning", arXiv 2210.11466: Auto-RGN). The gradient's norm alone where all
/// weights are 0.
template <Backend B>
class RelativeGradientNormImportance final : public Importance<B> {
 public:
  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    std::vector<double> importance(c.graph.parameters().size(), 0.0);
    for (const Batch& batch : c.batches) {  // each by itself, as its FLOPs are counted
      ImportanceContext<B> one = c;
      one.batches = std::span(&batch, 1);
      const std::vector<double> gradients = gradients_.evaluate(one), weights = weights_.evaluate(one);
      for (std::size_t i = 0; i < importance.size(); ++i)
        importance[i] += gradients[i] / (weights[i] > 0 ? weights[i] : 1);
    }
    return importance;
  }
  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return gradients_.flops(graph, workload, optimizer) +
           workload[Measure::steps] * weights_.flops(graph, workload, optimizer);
  }
  int full_passes() const override { return gradients_.full_passes(); }
  Extent scratch_elements(const TensorGraph<B>& graph) const override { return weights_.scratch_elements(graph); }

 private:
  GradientNormImportance<B> gradients_;
  MagnitudeImportance<B> weights_;
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
