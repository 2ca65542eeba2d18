#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <string>

#include "greentrainer/executor/pass_inspector.hpp"
#include "greentrainer/train/trainer_parts.hpp"

namespace greentrainer {

/// Elements that are infinite or NaN. `sum` is a place for one number in the backend's memory.
template <Backend B>
Extent count_non_finite(B& backend, Matrix<const typename B::Scalar> x, const Tensor<B, double>& sum) {
  if (x.data == nullptr || x.size() == 0) return 0;
  const double zero = 0;
  backend.copy_from_host(sum.data(), &zero, static_cast<Bytes>(sizeof zero));
  if (x.stride == x.cols) {
    backend.count_non_finite(x.size(), x.data, sum.data());
  } else {
    for (Extent r = 0; r < x.rows; ++r) backend.count_non_finite(x.cols, x.data + r * x.stride, sum.data());
  }
  return static_cast<Extent>(sum.download().front());
}

/// Remembers the first operator that computes an infinite value or a NaN.
template <Backend B>
class NonFiniteFinder final : public PassInspector<B> {
 public:
  using T = typename B::Scalar;

  NonFiniteFinder(B& backend, const TensorGraph<B>& graph) : backend_(&backend), graph_(&graph), sum_(backend, 1, 1) {}

  void look(const PassPlan::Step& step, std::span<const Matrix<T>> written) override {
    for (const Matrix<T>& matrix : written) {
      if (!found_.empty() || count_non_finite<B>(*backend_, matrix, sum_) == 0) continue;
      const auto& node = graph_->op(step.op);
      found_ = text(node.name, " (", node.op->kind(), ", ", step.is_backward() ? "backward)" : "forward)");
    }
  }
  /// Its name and phase; empty if there was none.
  const std::string& found() const { return found_; }

 private:
  B* backend_;
  const TensorGraph<B>* graph_;
  Tensor<B, double> sum_;
  std::string found_;
};

/// What is not finite after the passes of a step: the loss, or the gradient of a selected tensor, by its name. Nothing
/// where all are.
template <Backend B>
std::optional<std::string> find_non_finite(TrainerParts<B>& parts, double loss) {
  if (!std::isfinite(loss)) return text("a loss of ", loss);
  const auto& graph = parts.model.graph();
  const auto for_each = [&](const auto& use) {
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (parts.selection.contains(id)) use(id);
    }
  };
  auto& backend = parts.model.backend();
  parts.norm.zero();
  for_each([&](ParameterId id) {
    const Tensor<B>& gradient = parts.gradients[id];
    backend.count_non_finite(gradient.size(), gradient.data(), parts.norm.data());
  });
  if (parts.norm.download().front() == 0) return std::nullopt;
  std::string which;
  for_each([&](ParameterId id) {
    if (!which.empty()) return;
    const Extent count = count_non_finite<B>(backend, parts.gradients[id].matrix(), parts.norm);
    if (count > 0) {
      which = text(count, " of ", graph.parameter(id).size(), " elements of the gradient of ", graph.parameter(id).name,
                   " that are not");
    }
  });
  return which;
}

}  // namespace greentrainer
