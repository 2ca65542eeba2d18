#pragma once

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// Half-split rotary embedding. Sines and cosines are computed once for each (head_dim, theta) up to the largest
/// position met.
template <class T>
class RotaryKernel {
 public:
  explicit RotaryKernel(Workers& workers) : workers_(workers) {}

  void rotary(Matrix<const T> x, const Index* positions, Extent head_dim, double theta, Rotation rotation,
              Matrix<T> y) {
    expect_shape("rotary", "output", y, x.rows, x.cols);
    if (x.rows == 0) return;
    const Extent half = head_dim / 2;
    const Table& table = table_for(head_dim, theta, *std::max_element(positions, positions + x.rows));
    const T sign = rotation == Rotation::forward ? T(1) : T(-1);
    workers_.for_chunks(x.rows, x.cols, [=, &table](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* cosine = table.cosine.data() + positions[r] * half;
        const T* sine = table.sine.data() + positions[r] * half;
        for (Extent head = 0; head < x.cols; head += head_dim) {
          const T* from = x.data + r * x.stride + head;
          T* to = y.data + r * y.stride + head;
          for (Extent i = 0; i < half; i += lanes<T>) {
            const Extent n = std::min(lanes<T>, half - i);
            const L a = load(from + i, n), b = load(from + half + i, n), c = load(cosine + i, n),
                    s = load(sine + i, n) * sign;
            store<T>(to + i, a * c - b * s, n);
            store<T>(to + half + i, b * c + a * s, n);
          }
        }
      }
    });
  }

 private:
  using L = Lanes<T>;
  struct Table {
    std::vector<T> cosine, sine;  // (positions, head_dim / 2)
    Extent positions = 0;
  };

  const Table& table_for(Extent head_dim, double theta, Extent largest_position) {
    Table& table = tables_[{head_dim, theta}];
    const Extent half = head_dim / 2;
    if (largest_position >= table.positions) {
      table.positions = round_up(largest_position + 1, 256);  // not anew for every longer batch
      table.cosine.resize(static_cast<std::size_t>(table.positions * half));
      table.sine.resize(table.cosine.size());
      for (Extent p = 0, k = 0; p < table.positions; ++p) {
        for (Extent i = 0; i < half; ++i, ++k) {
          const double angle =
              static_cast<double>(p) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
          table.cosine[static_cast<std::size_t>(k)] = static_cast<T>(std::cos(angle));
          table.sine[static_cast<std::size_t>(k)] = static_cast<T>(std::sin(angle));
        }
      }
    }
    return table;
  }

  Workers& workers_;
  std::map<std::pair<Extent, double>, Table> tables_;
};

}  // namespace greentrainer::eigen
