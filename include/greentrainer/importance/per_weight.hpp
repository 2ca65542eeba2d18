#pragma once

#include <memory>
#include <utility>

#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// Another metric, divided by the number of a tensor's weights: what a weight of it is worth on average. Asks whether a
/// metric that adds up over weights favours large tensors.
template <Backend B>
class PerWeightImportance final : public Importance<B> {
 public:
  explicit PerWeightImportance(std::unique_ptr<Importance<B>> metric) : metric_(std::move(metric)) {}

  std::vector<double> evaluate(ImportanceContext<B>& context) const override {
    std::vector<double> importance = metric_->evaluate(context);
    for (std::size_t i = 0; i < importance.size(); ++i)
      importance[i] /= static_cast<double>(context.graph.parameters()[i].size());
    return importance;
  }
  Flops flops(const TensorGraph<B>& graph, const Workload& workload, const Optimizer<B>& optimizer) const override {
    return metric_->flops(graph, workload, optimizer);
  }
  int full_passes() const override { return metric_->full_passes(); }
  bool saves_weights() const override { return metric_->saves_weights(); }
  Extent scratch_elements(const TensorGraph<B>& graph) const override { return metric_->scratch_elements(graph); }

 private:
  std::unique_ptr<Importance<B>> metric_;
};

}  // namespace greentrainer
