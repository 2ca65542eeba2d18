#pragma once

#include <vector>

#include "greentrainer/graph/selection.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// The weights of a graph on a backend, by parameter number.
template <Backend B>
class ParameterStore {
 public:
  using T = typename B::Scalar;

  /// Allocates all parameters, uninitialised.
  ParameterStore(B& backend, const TensorGraph<B>& graph) {
    for (const Parameter& p : graph.parameters()) tensors_.emplace_back(backend, p.rows(), p.cols());
  }

  Tensor<B>& operator[](ParameterId id) { return tensors_[static_cast<std::size_t>(id)]; }
  const Tensor<B>& operator[](ParameterId id) const { return tensors_[static_cast<std::size_t>(id)]; }
  std::size_t size() const { return tensors_.size(); }
  Bytes bytes() const {
    Bytes total = 0;
    for (const auto& t : tensors_) total += t.bytes();
    return total;
  }

 private:
  std::vector<Tensor<B>> tensors_;
};

/// Where weight gradients go. The executor asks for a parameter's gradient when it is first added to, and says when its
/// last contribution is in.
template <Backend B>
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  /// Memory of the parameter's shape that the gradient is added to.
  virtual Matrix<typename B::Scalar> gradient(ParameterId id) = 0;
  /// All contributions of this pass are in; the parameter is not read again in this pass.
  virtual void completed(ParameterId id) = 0;
};

/// Gradients of selected parameters, kept and added up over passes until zeroed.
template <Backend B>
class GradientStore final : public GradientSink<B> {
 public:
  using T = typename B::Scalar;

  explicit GradientStore(B& backend) : backend_(&backend) {}

  /// Holds memory for the selected parameters alone; frees that of all others.
  void select(const TensorGraph<B>& graph, const Selection& selection) {
    tensors_.resize(graph.parameters().size());
    for (ParameterId id = 0; id < static_cast<ParameterId>(tensors_.size()); ++id) {
      auto& tensor = tensors_[static_cast<std::size_t>(id)];
      if (!selection.contains(id)) tensor = {};
    }
    for (ParameterId id = 0; id < static_cast<ParameterId>(tensors_.size()); ++id) {
      auto& tensor = tensors_[static_cast<std::size_t>(id)];
      const Parameter& p = graph.parameter(id);
      if (selection.contains(id) && !tensor) tensor = Tensor<B>(*backend_, p.rows(), p.cols());
    }
  }
  void zero() {
    for (auto& t : tensors_) t.zero();
  }

  Tensor<B>& operator[](ParameterId id) { return tensors_[static_cast<std::size_t>(id)]; }
  Bytes bytes() const {
    Bytes total = 0;
    for (const auto& t : tensors_) total += t.bytes();
    return total;
  }

  Matrix<T> gradient(ParameterId id) override { return (*this)[id].matrix(); }
  void completed(ParameterId) override {}

 private:
  B* backend_;
  std::vector<Tensor<B>> tensors_;
};

}  // namespace greentrainer
