#pragma once

#include <algorithm>

#include "greentrainer/importance/importance.hpp"

namespace greentrainer {

/// What the optimizer would make of one tensor at a time, at its peak learning rate, in memory for the largest.
template <Backend B>
class CandidateUpdates {
 public:
  using T = typename B::Scalar;

  explicit CandidateUpdates(ImportanceContext<B>& context)
      : context_(context),
        weights_(context.backend, context.parameters),
        updated_(context.backend, 1, largest_parameter(context.graph)) {}

  /// One tensor after its update, and as it is where it is stored in a format.
  template <class P>
  static Extent scratch_elements(const TensorGraph<P>& graph) {
    return largest_parameter(graph) + ReadableElements<B>::elements(graph);
  }

  /// Makes the update that a gradient of the parameter asks for.
  void make(ParameterId id, Matrix<T> gradient) {
    before_ = weights_(id);
    const auto bytes = before_.size() * static_cast<Bytes>(sizeof(T));
    context_.backend.copy(updated_.data(), before_.data, bytes);
    context_.optimizer.candidate(id, Matrix<T>(updated_.data(), before_.rows, before_.cols), gradient,
                                 context_.optimizer.peak_learning_rate());
  }
  /// Adds the product of the last update with `vector`, of the parameter's size, to `sum`. 3 FLOPs an element.
  void add_product(const T* vector, double* sum) {
    context_.backend.update_dot(before_.size(), vector, updated_.data(), before_.data, sum);
  }

 private:
  template <class P>
  static Extent largest_parameter(const TensorGraph<P>& graph) {
    Extent largest = 0;
    for (const Parameter& p : graph.parameters()) largest = std::max(largest, p.size());
    return largest;
  }

  ImportanceContext<B>& context_;
  ReadableElements<B> weights_;
  Tensor<B> updated_;
  Matrix<const T> before_ = {};
};

}  // namespace greentrainer
