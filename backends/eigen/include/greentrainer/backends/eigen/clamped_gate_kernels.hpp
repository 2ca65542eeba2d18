#pragma once

#include <algorithm>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// gpt-oss' gate, of pairs that lie side by side: lanes take every second element.
template <class T>
class ClampedGateKernels {
 public:
  explicit ClampedGateKernels(Workers& workers) : workers_(workers) {}

  void clamped_gate_forward(const ClampedGate& clamped, Matrix<const T> x, Matrix<T> y) {
    expect_shape("clamped_gate_forward", "pairs", x, y.rows, 2 * y.cols);
    for_groups(y, [=](Extent r, Extent c, Extent count) {
      const Pairs p(clamped, x.data + r * x.stride + 2 * c, count);
      store<T>(y.data + r * y.stride + c, (p.up + T(1)) * (p.gate * p.open), count);
    });
  }
  void clamped_gate_grad(const ClampedGate& clamped, Matrix<const T> grad_output, Matrix<const T> x, Matrix<T> grad_x) {
    expect_shape("clamped_gate_grad", "pairs", x, grad_output.rows, 2 * grad_output.cols);
    expect_shape("clamped_gate_grad", "gradient", grad_x, x.rows, x.cols);
    const T limit = static_cast<T>(clamped.limit);
    for_groups(grad_output, [=](Extent r, Extent c, Extent count) {
      const Pairs p(clamped, x.data + r * x.stride + 2 * c, count);
      const L dy = load<T>(grad_output.data + r * grad_output.stride + c, count);
      const L grad_gate = dy * (p.up + T(1)) * (p.open * (T(1) + p.scaled * (T(1) - p.open)));
      const L grad_up = dy * (p.gate * p.open);
      T* const to = grad_x.data + r * grad_x.stride + 2 * c;
      for (Extent i = 0; i < count; ++i) {
        to[2 * i] = p.raw_gate[i] > limit ? T(0) : grad_gate[i];
        to[2 * i + 1] = p.raw_up[i] > limit || p.raw_up[i] < -limit ? T(0) : grad_up[i];
      }
    });
  }

 private:
  using L = Lanes<T>;

  /// Some pairs, as they are and limited. NaN stays NaN.
  struct Pairs {
    Pairs(const ClampedGate& clamped, const T* pairs, Extent count) : raw_gate(L::Zero()), raw_up(L::Zero()) {
      for (Extent i = 0; i < count; ++i) {
        raw_gate[i] = pairs[2 * i];
        raw_up[i] = pairs[2 * i + 1];
      }
      const T limit = static_cast<T>(clamped.limit);
      const L most = L::Constant(limit), least = L::Constant(-limit);
      gate = (raw_gate > limit).select(most, raw_gate);
      up = (raw_up > limit).select(most, raw_up);
      up = (up < -limit).select(least, up);
      scaled = gate * static_cast<T>(clamped.slope);
      open = T(1) / (T(1) + (-scaled).exp());
    }
    L raw_gate, raw_up, gate, up, scaled, open;
  };

  /// Calls visit(row, first column, columns) for all of m, a lane's worth at a time.
  template <class M, class Visit>
  void for_groups(const M& m, Visit visit) {
    workers_.for_chunks(m.rows, 4 * m.cols, [=](Extent first, Extent rows, int) {
      for (Extent r = first; r < first + rows; ++r) {
        for (Extent c = 0; c < m.cols; c += lanes<T>) visit(r, c, std::min(lanes<T>, m.cols - c));
      }
    });
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
