#pragma once

#include "greentrainer/backends/eigen/column_sums.hpp"

namespace greentrainer::eigen {

/// LayerNorm and RMSNorm over rows, and their gradients.
template <class T>
class NormKernels {
 public:
  explicit NormKernels(Workers& workers) : workers_(workers) {}

  void layer_norm_forward(Matrix<const T> x, const T* weight, const T* bias, double epsilon, Matrix<T> y,
                          Matrix<T> stats) {
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* row = x.data + r * x.stride;
        const auto n = static_cast<double>(x.cols);
        const T mean = static_cast<T>(sum_lanes<T, 1>(
                                          x.cols, T(0), [](const L& a) { return Terms<1>{a}; }, row)[0] /
                                      n);
        const auto square = [mean](const L& a) { return Terms<1>{(a - mean).square()}; };
        const double variance = sum_lanes<T, 1>(x.cols, mean, square, row)[0] / n;
        const T rstd = static_cast<T>(1 / std::sqrt(variance + epsilon));
        stats.data[r * stats.stride] = mean;
        stats.data[r * stats.stride + 1] = rstd;
        T* const to = y.data + r * y.stride;
        const auto scaled = [=](const L& a, const L& w) -> L { return (a - mean) * rstd * w; };
        const auto normalise = [=](const L& a, const L& w, const L& b) -> L { return (a - mean) * rstd * w + b; };
        if (bias == nullptr)
          map_lanes(x.cols, to, scaled, row, weight);
        else
          map_lanes(x.cols, to, normalise, row, weight, bias);
      }
    });
  }

  /// With xhat = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - xhat mean(g xhat)).
  void layer_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight, Matrix<const T> stats,
                             Matrix<T> grad_input, Write write) {
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* row = x.data + r * x.stride;
        const T* dy = grad_output.data + r * grad_output.stride;
        const T mean = stats.data[r * stats.stride];
        const T rstd = stats.data[r * stats.stride + 1];
        const auto terms = [=](const L& d, const L& a, const L& w) {
          const L g = d * w;
          return Terms<2>{g, g * ((a - mean) * rstd)};
        };
        const auto sums = sum_lanes<T, 2>(x.cols, T(0), terms, dy, row, weight);
        const T mean_g = static_cast<T>(sums[0] / static_cast<double>(x.cols));
        const T mean_gx = static_cast<T>(sums[1] / static_cast<double>(x.cols));
        const auto gradient = [=](const L& d, const L& a, const L& w) -> L {
          return rstd * (d * w - mean_g - (a - mean) * rstd * mean_gx);
        };
        write_row(x.cols, grad_input.data + r * grad_input.stride, write, gradient, dy, row, weight);
      }
    });
  }
  void layer_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats, T* grad_weight) {
    add_column_sums(workers_, x.rows, x.cols, grad_weight, [=](Extent r, Extent c, Extent n) -> L {
      const T* s = stats.data + r * stats.stride;
      return load(grad_output.data + r * grad_output.stride + c, n) *
             ((load(x.data + r * x.stride + c, n) - s[0]) * s[1]);
    });
  }

  void rms_norm_forward(Matrix<const T> x, const T* weight, double offset, double epsilon, Matrix<T> y,
                        Matrix<T> stats) {
    const T more = static_cast<T>(offset);
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* row = x.data + r * x.stride;
        const double squares = sum_lanes<T, 1>(
            x.cols, T(0), [](const L& a) { return Terms<1>{a.square()}; }, row)[0];
        const T rstd = static_cast<T>(1 / std::sqrt(squares / static_cast<double>(x.cols) + epsilon));
        stats.data[r * stats.stride] = rstd;
        map_lanes(
            x.cols, y.data + r * y.stride, [=](const L& a, const L& w) -> L { return a * rstd * (w + more); }, row,
            weight);
      }
    });
  }

  /// With g = dy (offset + weight): dx = rstd g - x rstd^3 mean(g x).
  void rms_norm_grad_input(Matrix<const T> grad_output, Matrix<const T> x, const T* weight, double offset,
                           Matrix<const T> stats, Matrix<T> grad_input, Write write) {
    const T more = static_cast<T>(offset);
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* row = x.data + r * x.stride;
        const T* dy = grad_output.data + r * grad_output.stride;
        const T rstd = stats.data[r * stats.stride];
        const auto term = [=](const L& d, const L& a, const L& w) { return Terms<1>{d * (w + more) * a}; };
        const double sum = sum_lanes<T, 1>(x.cols, T(0), term, dy, row, weight)[0];
        const T along = static_cast<T>(sum / static_cast<double>(x.cols)) * rstd * rstd * rstd;
        const auto gradient = [=](const L& d, const L& a, const L& w) -> L {
          return rstd * (d * (w + more)) - a * along;
        };
        write_row(x.cols, grad_input.data + r * grad_input.stride, write, gradient, dy, row, weight);
      }
    });
  }
  void rms_norm_grad_weight(Matrix<const T> grad_output, Matrix<const T> x, Matrix<const T> stats, T* grad_weight) {
    add_column_sums(workers_, x.rows, x.cols, grad_weight, [=](Extent r, Extent c, Extent n) -> L {
      return load(grad_output.data + r * grad_output.stride + c, n) * load(x.data + r * x.stride + c, n) *
             stats.data[r * stats.stride];
    });
  }

  void bias_grad(Matrix<const T> grad_output, T* grad_bias) {
    add_column_sums(workers_, grad_output.rows, grad_output.cols, grad_bias, [=](Extent r, Extent c, Extent n) -> L {
      return load(grad_output.data + r * grad_output.stride + c, n);
    });
  }

 private:
  using L = Lanes<T>;
  template <std::size_t N>
  using Terms = std::array<L, N>;

  template <class F, class... X>
  static void write_row(Extent n, T* y, Write write, F f, const X*... x) {
    if (write == Write::overwrite) return map_lanes(n, y, f, x...);
    map_lanes(
        n, y, [&](const L& before, const auto&... operands) -> L { return before + f(operands...); }, y, x...);
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
