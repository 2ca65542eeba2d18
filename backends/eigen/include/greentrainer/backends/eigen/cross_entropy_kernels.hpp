#pragma once

#include <limits>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"

namespace greentrainer::eigen {

/// Softmax cross-entropy of rows of logits, and its gradient.
template <class T>
class CrossEntropyKernels {
 public:
  explicit CrossEntropyKernels(Workers& workers) : workers_(workers) {}

  void cross_entropy_forward(Matrix<const T> logits, const Index* labels, T* row_losses, double* loss_sum) {
    double* losses = workers_.shared<double>(logits.rows);
    workers_.for_chunks(logits.rows, logits.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* row = logits.data + r * logits.stride;
        const T max = maximum(row, logits.cols);
        const auto term = [max](const L& x) { return std::array<L, 1>{(x - max).exp()}; };
        const double sum = sum_lanes<T, 1>(logits.cols, lowest, term, row)[0];
        losses[r] = std::log(sum) + (static_cast<double>(max) - static_cast<double>(row[labels[r]]));
        if (row_losses != nullptr) row_losses[r] = static_cast<T>(losses[r]);
      }
    });
    for (Extent r = 0; r < logits.rows; ++r) *loss_sum += losses[r];
  }

  void cross_entropy_grad(Matrix<T> logits, const Index* labels, double scale) {
    workers_.for_chunks(logits.rows, logits.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        T* row = logits.data + r * logits.stride;
        const T max = maximum(row, logits.cols);
        // The terms are kept where the logits were: sum_lanes meets each group of elements once, in order.
        map_lanes(
            logits.cols, row, [max](const L& x) -> L { return (x - max).exp(); }, row);
        const double sum = sum_lanes<T, 1>(
            logits.cols, T(0), [](const L& e) { return std::array<L, 1>{e}; }, row)[0];
        const T factor = static_cast<T>(scale / sum);
        map_lanes(
            logits.cols, row, [factor](const L& e) -> L { return e * factor; }, row);
        row[labels[r]] -= static_cast<T>(scale);
      }
    });
  }

 private:
  using L = Lanes<T>;
  static constexpr T lowest = std::numeric_limits<T>::lowest();

  static T maximum(const T* row, Extent n) {
    L max = L::Constant(lowest);
    Extent i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) max = max.max(load(row + i));
    if (i < n) max = max.max(load(row + i, n - i, lowest));
    return max.maxCoeff();
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
