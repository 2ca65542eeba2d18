#pragma once

#include <span>

#include "greentrainer/core/matrix.hpp"
#include "greentrainer/graph/pass_plan.hpp"

namespace greentrainer {

/// Is shown what the steps of a pass compute, as soon as it is there.
template <class B>
class PassInspector {
 public:
  using T = typename B::Scalar;

  virtual ~PassInspector() = default;

  /// What a step has written: an operator's outputs, or the gradients of its inputs, or of its parameters; in the
  /// backend's memory, those without data left out by the step.
  virtual void look(const PassPlan::Step& step, std::span<const Matrix<T>> written) = 0;
};

}  // namespace greentrainer
