#pragma once

#include "greentrainer/importance/candidate_updates.hpp"

namespace greentrainer {

/// I_k = - sum(dL/dw_k * dw_k) with the gradient at the present weights: half the cost of the paper's metric, blind to
/// how updates interact.
template <Backend B>
class FirstOrderImportance final : public Importance<B> {
 public:
  using T = typename B::Scalar;

  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    Terms terms(c);
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
    Terms terms(c);
    for (ParameterId id = 0; id < static_cast<ParameterId>(c.graph.parameters().size()); ++id)
      terms.add(id, gradients[id].matrix());
    return terms.importance();
  }
  Flops gradients_flops(const TensorGraph<B>& graph, const Optimizer<B>& optimizer) const override {
    return candidate_flops(graph, optimizer) + 3 * parameter_elements(graph);
  }

  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return full_pass_flops(graph, workload) + workload[Measure::steps] * gradients_flops(graph, optimizer);
  }
  int full_passes() const override { return 1; }
  Extent scratch_elements(const TensorGraph<B>& graph) const override {
    return CandidateUpdates<B>::scratch_elements(graph);
  }

 private:
  /// Adds up what each tensor's gradient and update come to.
  class Terms {
   public:
    explicit Terms(ImportanceContext<B>& context)
        : updates_(context), sums_(context.backend, context.graph.parameters().size()) {}

    void add(ParameterId id, Matrix<T> gradient) {
      updates_.make(id, gradient);
      updates_.add_product(gradient.data, sums_.of(id));
    }
    std::vector<double> importance() const {
      std::vector<double> importance = sums_.download();
      for (double& value : importance) value = -value;
      return importance;
    }

   private:
    CandidateUpdates<B> updates_;
    ParameterSums<B> sums_;
  };
};

}  // namespace greentrainer
