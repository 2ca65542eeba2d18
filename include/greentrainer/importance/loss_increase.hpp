#pragma once

#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// The paper's metric: I_k = - sum(dL/dw_k * dw_k), where dw_k is the update that the optimizer would make and dL/dw_k
/// is taken at the updated weights: the first-order increase of the loss from undoing tensor k's update alone (arXiv
/// 2309.13192, section 3.2).
///
/// Two full passes a batch. In the first, every tensor is moved as soon as its gradient is complete; in the second, its
/// gradient is multiplied with the move; no two operators' gradients are held together, and one saved copy of the
/// weights brings all back. Updates are priced at the schedule's peak learning rate, so that importances of different
/// rounds compare, with the tensor's own optimizer state where it has one; a tensor without is priced at its first
/// step, from zero moments. Throws ConfigError where weights are stored in a format, which cannot be moved.
template <Backend B>
class LossIncreaseImportance final : public Importance<B> {
 public:
  using T = typename B::Scalar;

  std::vector<double> evaluate(ImportanceContext<B>& c) const override {
    ParameterSums<B> sums(c.backend, c.graph.parameters().size());
    SavedWeights saved(c.backend, c.parameters);
    const Schedule schedule = c.full_schedule();
    for (const Batch& batch : c.batches) {
      const double scale = 1.0 / static_cast<double>(batch.labelled());
      const auto pass = [&](auto consume) {
        TransientGradients<B> gradients(c.backend, c.graph, consume);
        c.executor.run(schedule, batch, {.gradient_scale = scale, .gradients = &gradients});
      };
      pass([&](ParameterId id, Matrix<T> gradient) {  // move
        c.optimizer.candidate(id, c.parameters[id].matrix(), gradient, c.optimizer.peak_learning_rate());
      });
      pass([&](ParameterId id, Matrix<T> gradient) {  // compare
        c.backend.update_dot(gradient.size(), gradient.data, c.parameters[id].data(), saved[id].data(), sums.of(id));
      });
      saved.restore();
    }
    std::vector<double> importance = sums.download();
    for (double& value : importance) value = -value;
    return importance;
  }

  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return 2 * full_pass_flops(graph, workload) +
           workload[Measure::steps] * (candidate_flops(graph, optimizer) + 3 * parameter_elements(graph));
  }
  int full_passes() const override { return 2; }
  bool saves_weights() const override { return true; }

 private:
  /// One copy of all weights; brings them back, at the latest when it goes out of scope.
  class SavedWeights {
   public:
    SavedWeights(B& backend, ParameterStore<B>& parameters) : backend_(&backend), parameters_(&parameters) {
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        if (parameters.is_stored(static_cast<ParameterId>(p))) {
          throw ConfigError("importance", "metric",
                            "expected one that leaves weights where they are, since weights are stored in a format, "
                            "got the paper's, which moves all of them; take first-order or gradient-norm");
        }
        const auto& tensor = parameters[static_cast<ParameterId>(p)];
        copies_.emplace_back(backend, tensor.rows(), tensor.cols());
        backend.copy(copies_.back().data(), tensor.data(), tensor.bytes());
      }
    }
    SavedWeights(const SavedWeights&) = delete;
    SavedWeights& operator=(const SavedWeights&) = delete;
    ~SavedWeights() {
      try {
        restore();
      } catch (const Error&) {  // the device is lost; the error before says why
      }
    }

    void restore() {
      for (std::size_t p = 0; p < copies_.size(); ++p)
        backend_->copy((*parameters_)[static_cast<ParameterId>(p)].data(), copies_[p].data(), copies_[p].bytes());
    }
    const Tensor<B>& operator[](ParameterId id) const { return copies_[static_cast<std::size_t>(id)]; }

   private:
    B* backend_;
    ParameterStore<B>* parameters_;
    std::vector<Tensor<B>> copies_;
  };
};

}  // namespace greentrainer
