#pragma once

#include <cmath>

#include "greentrainer/backends/reference/attention.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::reference {

/// A pair of numbers as ClampedGate limits them, and what both gradients need.
template <class T>
struct ClampedPair {
  ClampedPair(const ClampedGate& clamped, const T* pair) {
    using std::exp;
    const T limit = number_like(pair[0], clamped.limit);
    gate = pair[0] > limit ? limit : pair[0];
    up = pair[1] > limit ? limit : pair[1] < -limit ? -limit : pair[1];
    scaled = gate * T(clamped.slope);
    open = T(1) / (T(1) + exp(-scaled));
  }
  T gate, up, scaled, open;
};

template <class T>
void clamped_gate_forward(const ClampedGate& clamped, Matrix<const T> x, Matrix<T> y) {
  for (Extent r = 0; r < y.rows; ++r) {
    for (Extent c = 0; c < y.cols; ++c) {
      const ClampedPair<T> p(clamped, x.data + r * x.stride + 2 * c);
      y.data[r * y.stride + c] = (p.up + T(1)) * (p.gate * p.open);
    }
  }
}

template <class T>
void clamped_gate_grad(const ClampedGate& clamped, Matrix<const T> grad_output, Matrix<const T> x, Matrix<T> grad_x) {
  const T limit(clamped.limit);
  for (Extent r = 0; r < grad_output.rows; ++r) {
    for (Extent c = 0; c < grad_output.cols; ++c) {
      const T* pair = x.data + r * x.stride + 2 * c;
      const ClampedPair<T> p(clamped, pair);
      const bool gate_passes = !(pair[0] > limit), up_passes = !(pair[1] > limit || pair[1] < -limit);
      const T dy = grad_output.data[r * grad_output.stride + c];
      const T grad_gate = dy * (p.up + T(1)) * (p.open * (T(1) + p.scaled * (T(1) - p.open)));
      const T grad_up = dy * (p.gate * p.open);
      T* to = grad_x.data + r * grad_x.stride + 2 * c;
      to[0] = gate_passes ? grad_gate : T(0);
      to[1] = up_passes ? grad_up : T(0);
    }
  }
}

}  // namespace greentrainer::reference
