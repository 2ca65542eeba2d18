#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <vector>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"
#include "greentrainer/core/rotary_frequencies.hpp"

namespace greentrainer::eigen {

/// Rotary embedding. Sines and cosines are computed once for each shape, up to the largest position met.
template <class T>
class RotaryKernel {
 public:
  explicit RotaryKernel(Workers& workers) : workers_(workers) {}

  void rotary(Matrix<const T> x, const Index* positions, const RotaryShape& shape, Rotation rotation, Matrix<T> y) {
    expect_shape("rotary", "output", y, x.rows, x.cols);
    if (x.rows == 0) return;
    const Table& table = table_for(shape, *std::max_element(positions, positions + x.rows));
    const T sign = rotation == Rotation::forward ? T(1) : T(-1);
    workers_.for_chunks(x.rows, x.cols, [=, &table, &shape](Extent first, Extent count, int) {
      for (Extent r = first; r < first + count; ++r) {
        const T* cosine = table.cosine.data() + positions[r] * shape.pairs();
        const T* sine = table.sine.data() + positions[r] * shape.pairs();
        for (Extent head = 0; head < x.cols; head += shape.head_dim) {
          const T* from = x.data + r * x.stride + head;
          T* to = y.data + r * y.stride + head;
          if (shape.interleaved)
            turn_neighbours(shape.pairs(), from, cosine, sine, sign, to);
          else
            turn_halves(shape.pairs(), from, cosine, sine, sign, to);
          if (to != from) std::copy(from + shape.columns(), from + shape.head_dim, to + shape.columns());
        }
      }
    });
  }

 private:
  using L = Lanes<T>;
  struct Table {
    std::vector<T> cosine, sine;  // (positions, pairs)
    Extent positions = 0;
  };

  static void turn_halves(Extent half, const T* from, const T* cosine, const T* sine, T sign, T* to) {
    for (Extent i = 0; i < half; i += lanes<T>) {
      const Extent n = std::min(lanes<T>, half - i);
      const L a = load(from + i, n), b = load(from + half + i, n), c = load(cosine + i, n),
              s = load(sine + i, n) * sign;
      store<T>(to + i, a * c - b * s, n);
      store<T>(to + half + i, b * c + a * s, n);
    }
  }
  static void turn_neighbours(Extent pairs, const T* from, const T* cosine, const T* sine, T sign, T* to) {
    for (Extent i = 0; i < pairs; ++i) {
      const T a = from[2 * i], b = from[2 * i + 1], s = sine[i] * sign;
      to[2 * i] = a * cosine[i] - b * s;
      to[2 * i + 1] = b * cosine[i] + a * s;
    }
  }

  const Table& table_for(const RotaryShape& shape, Extent largest_position) {
    Table& table = tables_[shape];
    if (largest_position >= table.positions) {
      const std::vector<double> frequencies = rotary_frequencies(shape);
      table.positions = round_up(largest_position + 1, 256);  // not anew for every longer batch
      table.cosine.resize(static_cast<std::size_t>(table.positions * shape.pairs()));
      table.sine.resize(table.cosine.size());
      std::size_t k = 0;
      for (Extent p = 0; p < table.positions; ++p) {
        for (const double frequency : frequencies) {
          const double angle = static_cast<double>(p) * frequency;
          table.cosine[k] = static_cast<T>(shape.amplitude * std::cos(angle));
          table.sine[k++] = static_cast<T>(shape.amplitude * std::sin(angle));
        }
      }
    }
    return table;
  }

  Workers& workers_;
  std::map<RotaryShape, Table> tables_;
};

}  // namespace greentrainer::eigen
