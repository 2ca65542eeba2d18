#pragma once

#include <algorithm>
#include <numeric>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// Which experts a row goes to, and numbers that rows are multiplied with.
template <class T>
class RoutingKernels {
 public:
  explicit RoutingKernels(Workers& workers) : workers_(workers) {}

  void route_forward(const RoutingShape& routing, Matrix<const T> logits, Matrix<T> weights) {
    workers_.template reserve_each<Index>(logits.cols);
    workers_.for_chunks(logits.rows, 8 * logits.cols, [=, this](Extent first, Extent count, int worker) {
      Index* const order = workers_.template scratch<Index>(worker);
      for (Extent r = first; r < first + count; ++r) {
        const T* row = logits.data + r * logits.stride;
        T* to = weights.data + r * weights.stride;
        std::iota(order, order + logits.cols, Index{0});
        std::partial_sort(order, order + routing.top_k, order + logits.cols,
                          [row](Index a, Index b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
        const T max = row[order[0]];
        const T sum = sum_of(
            routing, logits.cols, [=](Extent i) { return row[i]; }, max, order);
        std::fill_n(to, logits.cols, T(0));
        for (Extent i = 0; i < routing.top_k; ++i) to[order[i]] = std::exp(row[order[i]] - max) / sum;
      }
    });
  }

  void route_grad(const RoutingShape& routing, Matrix<const T> grad_weights, Matrix<const T> logits,
                  Matrix<const T> weights, Matrix<T> grad_logits) {
    workers_.for_chunks(weights.rows, 8 * weights.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* dw = grad_weights.data + r * grad_weights.stride;
        const T* w = weights.data + r * weights.stride;
        T* to = grad_logits.data + r * grad_logits.stride;
        T along = 0;
        for (Extent e = 0; e < weights.cols; ++e) along += w[e] != T(0) ? dw[e] * w[e] : T(0);
        if (routing.normalised) {
          for (Extent e = 0; e < weights.cols; ++e) to[e] = w[e] != T(0) ? w[e] * (dw[e] - along) : T(0);
          continue;
        }
        const T* row = logits.data + r * logits.stride;
        const T max = *std::max_element(row, row + logits.cols);
        T sum = 0;
        for (Extent e = 0; e < logits.cols; ++e) sum += to[e] = std::exp(row[e] - max);
        for (Extent e = 0; e < logits.cols; ++e) to[e] = to[e] / sum * ((w[e] != T(0) ? dw[e] : T(0)) - along);
      }
    });
  }

  void scale_rows(Matrix<const T> x, Matrix<const T> scale, Matrix<T> y) {
    expect_shape("scale_rows", "scale", scale, x.rows, 1);
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T factor = scale.data[r * scale.stride];
        map_lanes(
            x.cols, y.data + r * y.stride, [factor](const Lanes<T>& a) -> Lanes<T> { return a * factor; },
            x.data + r * x.stride);
      }
    });
  }

  void dot_rows(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
    expect_shape("dot_rows", "second operand", z, x.rows, x.cols);
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      const auto product = [](const Lanes<T>& a, const Lanes<T>& b) { return std::array<Lanes<T>, 1>{a * b}; };
      for (Extent r = first; r < first + count; ++r) {
        y.data[r * y.stride] =
            static_cast<T>(sum_lanes<T, 1>(x.cols, T(0), product, x.data + r * x.stride, z.data + r * z.stride)[0]);
      }
    });
  }

 private:
  /// Of exp(logit - max) over all experts, or over the first of `order` alone.
  template <class Logit>
  static T sum_of(const RoutingShape& routing, Extent experts, Logit logit, T max, const Index* order) {
    T sum = 0;
    if (routing.normalised) {
      for (Extent i = 0; i < routing.top_k; ++i) sum += std::exp(logit(order[i]) - max);
    } else {
      for (Extent e = 0; e < experts; ++e) sum += std::exp(logit(e) - max);
    }
    return sum;
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
