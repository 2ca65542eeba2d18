#pragma once

#include <algorithm>

#include "greentrainer/backends/eigen/activations.hpp"
#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/stored_matrix.hpp"

namespace greentrainer::eigen {

/// Kernels that treat each element alone, and the gathering and scattering of rows.
template <class T>
class ElementwiseKernels {
 public:
  explicit ElementwiseKernels(Workers& workers) : workers_(workers) {}

  void add_bias(Matrix<T> y, const T* bias) {
    workers_.for_chunks(y.rows, y.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        T* row = y.data + r * y.stride;
        map_lanes(
            y.cols, row, [](const L& a, const L& b) -> L { return a + b; }, row, bias);
      }
    });
  }

  void add(Matrix<const T> x, Matrix<const T> z, Matrix<T> y) {
    map(
        "add", y, [](const L& a, const L& b) -> L { return a + b; }, x, z);
  }
  void accumulate(Matrix<const T> x, Matrix<T> y) {
    map(
        "accumulate", y, [](const L& a, const L& b) -> L { return a + b; }, Matrix<const T>(y), x);
  }
  void copy_matrix(Matrix<const T> x, Matrix<T> y) {
    map(
        "copy_matrix", y, [](const L& a) -> L { return a; }, x);
  }
  void scale(Extent n, T* x, double factor) {
    const T f = static_cast<T>(factor);
    map(
        "scale", Matrix<T>{x, 1, n}, [f](const L& a) -> L { return a * f; }, Matrix<const T>{x, 1, n});
  }

  void activation_forward(Activation kind, Matrix<const T> x, Matrix<T> y) {
    with_activation<T>(kind, [&](auto f) {
      map(
          "activation_forward", y, [=](const L& a) -> L { return f.value(a); }, x);
    });
  }
  void activation_grad(Activation kind, Matrix<const T> grad_output, Matrix<const T> saved, Matrix<T> grad_input) {
    with_activation<T>(kind, [&](auto f) {
      map(
          "activation_grad", grad_input, [=](const L& dy, const L& a) -> L { return f.grad(dy, a); }, grad_output,
          saved);
    });
  }
  void gated_forward(Activation kind, Matrix<const T> gate, Matrix<const T> up, Matrix<T> y) {
    with_activation<T>(kind, [&](auto f) {
      map(
          "gated_forward", y, [=](const L& a, const L& b) -> L { return f.value(a) * b; }, gate, up);
    });
  }
  void gated_grad_gate(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate, Matrix<const T> up,
                       Matrix<T> grad_gate) {
    with_activation<T>(kind, [&](auto f) {
      map(
          "gated_grad_gate", grad_gate, [=](const L& dy, const L& a, const L& b) -> L { return f.grad(dy * b, a); },
          grad_output, gate, up);
    });
  }
  void gated_grad_up(Activation kind, Matrix<const T> grad_output, Matrix<const T> gate, Matrix<T> grad_up) {
    with_activation<T>(kind, [&](auto f) {
      map(
          "gated_grad_up", grad_up, [=](const L& dy, const L& a) -> L { return f.value(a) * dy; }, grad_output, gate);
    });
  }

  void embedding_forward(Matrix<const T> table, const Index* index, Matrix<T> y) { gather_rows(table, index, y); }
  void embedding_forward(const StoredMatrix& table, const Index* index, Matrix<T> y) {
    workers_.for_chunks(y.rows, y.cols, [&](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) decode_row_part(table, index[r], 0, y.cols, y.data + r * y.stride);
    });
  }
  void decode(const StoredMatrix& x, Matrix<T> y) {
    expect_shape("decode", "result", y, x.rows, x.cols);
    workers_.for_chunks(y.rows, y.cols, [&](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) decode_row_part(x, r, 0, y.cols, y.data + r * y.stride);
    });
  }
  void gather_rows(Matrix<const T> x, const Index* index, Matrix<T> y) {
    workers_.for_chunks(y.rows, y.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r)
        std::copy_n(x.data + index[r] * x.stride, y.cols, y.data + r * y.stride);
    });
  }

  /// Rows that are met twice make rows depend on each other, so the columns are what is split.
  void embedding_grad_weight(Matrix<const T> grad_output, const Index* index, Matrix<T> grad_table) {
    const Extent strip = 8 * lanes<T>;
    workers_.parallel_for(ceil_div(grad_output.cols, strip), [=](Extent task, int) {
      const Extent first = task * strip;
      for (Extent r = 0; r < grad_output.rows; ++r)
        add_row(grad_output, r, grad_table, index[r], first, std::min(strip, grad_output.cols - first));
    });
  }
  void scatter_rows(Matrix<const T> x, const Index* index, Matrix<T> y, Write write) {
    if (write == Write::overwrite) {
      workers_.for_chunks(y.rows, y.cols, [=](Extent first, Extent count, int) {
        for (Extent r = first; r < first + count; ++r) std::fill_n(y.data + r * y.stride, y.cols, T(0));
      });
    }
    workers_.for_chunks(x.rows, x.cols, [=](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        if (write == Write::accumulate)
          add_row(x, r, y, index[r], 0, x.cols);
        else
          std::copy_n(x.data + r * x.stride, x.cols, y.data + index[r] * y.stride);
      }
    });
  }

 private:
  using L = Lanes<T>;

  static void add_row(Matrix<const T> x, Extent from, Matrix<T> y, Extent to, Extent first, Extent count) {
    T* out = y.data + to * y.stride + first;
    map_lanes(
        count, out, [](const L& a, const L& b) -> L { return a + b; }, out, x.data + from * x.stride + first);
  }

  /// y = f(x...) for matrices of one shape; without gaps between rows they are one long row.
  template <class F, class... X>
  void map(std::string_view kernel, Matrix<T> y, F f, X... x) {
    (expect_shape(kernel, "operand", x, y.rows, y.cols), ...);
    if (y.stride == y.cols && ((x.stride == x.cols) && ...)) {
      workers_.for_elements(
          y.size(), [&](Extent first, Extent count) { map_lanes(count, y.data + first, f, (x.data + first)...); });
    } else {
      workers_.for_chunks(y.rows, y.cols, [&](Extent first, Extent count, int) {
        for (Extent r = first; r < first + count; ++r)
          map_lanes(y.cols, y.data + r * y.stride, f, (x.data + r * x.stride)...);
      });
    }
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
