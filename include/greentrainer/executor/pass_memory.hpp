#pragma once

#include "greentrainer/graph/tensor_graph.hpp"
#include "greentrainer/tensor/tensor.hpp"

namespace greentrainer {

/// Values that outlive a pass: what a plan is given, hands out, and remembers of earlier passes.
template <Backend B>
class PassMemory {
 public:
  using T = typename B::Scalar;

  virtual ~PassMemory() = default;

  /// Where a value lies that the plan is given. It is read, never written to. Asked once a pass, before its first step.
  virtual Matrix<T> given(ValueId value) = 0;
  /// A value that the plan hands out has just been computed; it may be overwritten after this call.
  virtual void take(ValueId value, Matrix<const T> computed) = 0;
  /// All rows of an input that a step reads with its rows of earlier passes, those of this pass included.
  virtual Matrix<T> remembered(ValueId value) = 0;
};

}  // namespace greentrainer
