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
    Terms terms(c, largest_parameter(c.graph));
    const Schedule schedule = c.full_schedule();
    for (const Batch& batch : c.batches) {
      TransientGradients<B> sink(c.backend, c.graph,
                                 [&](ParameterId id, Matrix<T> gradient) { terms.add(id, gradient); });
      c.executor.run(schedule, batch,
                     {.gradient_scale = 1.0 / static_cast<double>(batch.labelled()), .gradients = &sink});
    }
    return terms.importance();
  }
  bool needs_gradients_alone() const override { return true; }
  std::vector<double> evaluate_gradients(ImportanceContext<B>& c, GradientStore<B>& gradients) const override {
    Terms terms(c, largest_parameter(c.graph));
    for (ParameterId id = 0; id < static_cast<ParameterId>(c.graph.parameters().size()); ++id)
      terms.add(id, gradients[id].matrix());
    return terms.importance();
  }
  Flops gradients_flops(const TensorGraph<B>& graph, const Optimizer<B>& optimizer) const override {
    return parameter_elements(graph) * (optimizer.flops_per_element() + 3);
  }

  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return full_pass_flops(graph, workload) + workload[Measure::steps] * gradients_flops(graph, optimizer);
  }
  int full_passes() const override { return 1; }
  /// One tensor after its update, and as it is where it is stored in a format.
  Extent scratch_elements(const TensorGraph<B>& graph) const override {
    return largest_parameter(graph) + ReadableElements<B>::elements(graph);
  }

 private:
  static Extent largest_parameter(const TensorGraph<B>& graph) {
    Extent largest = 0;
    for (const Parameter& p : graph.parameters()) largest = std::max(largest, p.size());
    return largest;
  }

  /// Adds up what each tensor's gradient and update come to.
  class Terms {
   public:
    Terms(ImportanceContext<B>& context, Extent scratch)
        : context_(context),
          weights_(context.backend, context.parameters),
          sums_(context.backend, context.graph.parameters().size()),
          updated_(context.backend, 1, scratch) {}

    void add(ParameterId id, Matrix<T> gradient) {
      const Matrix<const T> weights = weights_(id);
      const auto bytes = weights.size() * static_cast<Bytes>(sizeof(T));
      context_.backend.copy(updated_.data(), weights.data, bytes);
      context_.optimizer.candidate(id, Matrix<T>(updated_.data(), weights.rows, weights.cols), gradient,
                                   context_.optimizer.peak_learning_rate());
      context_.backend.update_dot(gradient.size(), gradient.data, updated_.data(), weights.data, sums_.of(id));
    }
    std::vector<double> importance() const {
      std::vector<double> importance = sums_.download();
      for (double& value : importance) value = -value;
      return importance;
    }

   private:
    ImportanceContext<B>& context_;
    ReadableElements<B> weights_;
    ParameterSums<B> sums_;
    Tensor<B> updated_;
  };
};

}  // namespace greentrainer
