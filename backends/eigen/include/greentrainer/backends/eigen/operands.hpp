#pragma once

#include "greentrainer/backends/eigen/bfloat16_products.hpp"
#include "greentrainer/core/stored_matrix.hpp"

namespace greentrainer::eigen {

/// Where an operand's elements lie: element (i, p) at data[i * step + p * k_step].
template <class T>
struct Placed {
  const T* data;
  Extent step, k_step;
};

/// An operand of a product whose elements are in memory: `at` says where its elements (i.., p..) are.
template <class T>
struct DenseOperand {
  Placed<T> all;

  static constexpr bool needs_room = false, in_pairs = false;
  Placed<T> at(Extent i, Extent, Extent p, Extent, T*) const {
    return {all.data + i * all.step + p * all.k_step, all.step, all.k_step};
  }
};

/// One that lies in a storage format: `at` decodes n rows or columns of d elements into `room`.
template <class T>
struct StoredOperand {
  StoredMatrix matrix;
  bool rows_along_k = false;  ///< the matrix's rows are the operand's p, its columns the i; else the other way round

  static constexpr bool needs_room = true, in_pairs = false;
  Placed<T> at(Extent i, Extent n, Extent p, Extent d, T* room) const {
    if (rows_along_k) {
      for (Extent r = 0; r < d; ++r) decode_row_part(matrix, p + r, i, n, room + r * n);
      return {room, 1, n};
    }
    for (Extent r = 0; r < n; ++r) decode_row_part(matrix, i + r, p, d, room + r * d);
    return {room, d, 1};
  }
};

/// One whose elements are rounded to bfloat16 as they are taken, to be multiplied as floats, in the order of pairs.
template <class Operand>
struct RoundedOperand {
  Operand operand;

  static constexpr bool needs_room = true, in_pairs = true;
  Placed<float> at(Extent i, Extent n, Extent p, Extent d, float* room) const {
    const Placed<float> from = operand.at(i, n, p, d, room);
    for (Extent r = 0; r < n; ++r) round_to_bfloat16(from.data + r * from.step, d, room + r * d);
    return {room, d, 1};
  }
};

}  // namespace greentrainer::eigen
