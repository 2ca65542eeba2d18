#pragma once

#include <array>
#include <cmath>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"

namespace greentrainer::eigen {

/// Logits that join each softmax of an attention, one a head, and have no value. They change what attention_forward
/// left; the attention's own kernels know nothing of them.
template <class T>
class AttentionSinkKernels {
 public:
  explicit AttentionSinkKernels(Workers& workers) : workers_(workers) {}

  void attention_sink_forward(Matrix<const T> sinks, Matrix<T> output, Matrix<T> stats) {
    const Extent heads = stats.cols, dim = head_dim("attention_sink_forward", sinks, output, stats);
    workers_.for_chunks(stats.rows, output.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        for (Extent h = 0; h < heads; ++h) {
          T& log_sum = stats.data[r * stats.stride + h];
          const T sink = sinks.data[h], max = sink > log_sum ? sink : log_sum, before = std::exp(log_sum - max);
          const T sum = before + std::exp(sink - max), kept = before / sum;
          T* const out = output.data + r * output.stride + h * dim;
          map_lanes(
              dim, out, [kept](const Lanes<T>& a) -> Lanes<T> { return a * kept; }, out);
          log_sum = max + std::log(sum);
        }
      }
    });
  }

  /// Each head's rows are added in order, by one thread.
  void attention_sink_grad(Matrix<const T> sinks, Matrix<const T> output, Matrix<const T> stats,
                           Matrix<const T> grad_output, Matrix<T> grad_sinks) {
    const Extent dim = head_dim("attention_sink_grad", sinks, output, stats);
    expect_shape("attention_sink_grad", "grad_output", grad_output, output.rows, output.cols);
    workers_.for_chunks(stats.cols, stats.rows * dim, [=](Extent first, Extent count, int) {
      const auto product = [](const Lanes<T>& a, const Lanes<T>& b) { return std::array<Lanes<T>, 1>{a * b}; };
      for (Extent h = first; h < first + count; ++h) {
        double sum = 0;
        for (Extent r = 0; r < stats.rows; ++r) {
          const T share = std::exp(sinks.data[h] - stats.data[r * stats.stride + h]);
          sum += static_cast<double>(share) * sum_lanes<T, 1>(dim, T(0), product,
                                                              grad_output.data + r * grad_output.stride + h * dim,
                                                              output.data + r * output.stride + h * dim)[0];
        }
        grad_sinks.data[h] -= static_cast<T>(sum);
      }
    });
  }

 private:
  template <class Output, class Stats>
  static Extent head_dim(std::string_view kernel, Matrix<const T> sinks, const Matrix<Output>& output,
                         const Matrix<Stats>& stats) {
    expect_shape(kernel, "sinks", sinks, 1, stats.cols);
    const Extent dim = stats.cols == 0 ? 0 : output.cols / stats.cols;
    expect_shape(kernel, "output", output, stats.rows, stats.cols * dim);
    return dim;
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
