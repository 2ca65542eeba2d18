#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "greentrainer/executor/parameter_store.hpp"

namespace greentrainer {

/// Gradients that are looked at one tensor at a time and never held together: each is handed to a function when
/// complete, and its memory is used again. Parameters with several uses keep a place of their own until the last.
template <Backend B>
class TransientGradients final : public GradientSink<B> {
 public:
  using T = typename B::Scalar;
  using Consumer = std::function<void(ParameterId, Matrix<T>)>;

  TransientGradients(B& backend, const TensorGraph<B>& graph, Consumer consumer)
      : backend_(&backend),
        graph_(&graph),
        consumer_(std::move(consumer)),
        block_(backend, 1, elements(graph)),
        places_(graph.parameters().size(), none) {
    shared_end_ = shared_elements(graph);
    next_shared_ = 0;
    next_ = shared_end_;
  }

  /// Elements that the block needs: all parameters with several uses, and the other parameters of the operator with the
  /// most.
  template <class P>
  static Extent elements(const TensorGraph<P>& graph) {
    Extent widest = 0;
    for (const auto& node : graph.operators()) {
      Extent own = 0;
      for (const ParameterId id : node.parameters)
        own += graph.uses(id).size() > 1 ? 0 : padded(graph.parameter(id).size());
      widest = std::max(widest, own);
    }
    return shared_elements(graph) + widest;
  }

  Matrix<T> gradient(ParameterId id) override {
    const Parameter& p = graph_->parameter(id);
    Extent& place = places_[static_cast<std::size_t>(id)];
    if (place == none) {
      Extent& next = graph_->uses(id).size() > 1 ? next_shared_ : next_;
      place = next;
      next += padded(p.size());
      backend_->zero(block_.data() + place, p.size() * static_cast<Bytes>(sizeof(T)));
      ++in_flight_[graph_->uses(id).size() > 1 ? 1 : 0];
    }
    return {block_.data() + place, p.rows(), p.cols()};
  }

  void completed(ParameterId id) override {
    consumer_(id, gradient(id));
    places_[static_cast<std::size_t>(id)] = none;
    const bool shared = graph_->uses(id).size() > 1;
    if (--in_flight_[shared ? 1 : 0] > 0) return;
    if (shared)
      next_shared_ = 0;
    else
      next_ = shared_end_;
  }

 private:
  static constexpr Extent none = -1;
  static constexpr Extent padded(Extent elements) { return (elements + 63) / 64 * 64; }
  template <class P>
  static Extent shared_elements(const TensorGraph<P>& graph) {
    Extent total = 0;
    for (ParameterId id = 0; id < static_cast<ParameterId>(graph.parameters().size()); ++id) {
      if (graph.uses(id).size() > 1) total += padded(graph.parameter(id).size());
    }
    return total;
  }

  B* backend_;
  const TensorGraph<B>* graph_;
  Consumer consumer_;
  Tensor<B> block_;
  std::vector<Extent> places_;
  Extent shared_end_ = 0, next_shared_ = 0, next_ = 0;
  int in_flight_[2] = {0, 0};
};

}  // namespace greentrainer
