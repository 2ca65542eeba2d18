#pragma once

#include <limits>

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/micro_kernel.hpp"
#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// Queries are taken Tile::cols at a time, one to a column: scores live as a panel (keys, queries), which the softmax
/// works down with plain vector operations, which is the packed right operand of the product with the values as it
/// stands, and, read by rows, the left operand of those that give the gradients of values and keys.
template <class T>
inline constexpr Extent queries_a_panel = Tile<T>::cols;

/// One number for each query of a panel.
template <class T>
using Across = Eigen::Array<T, static_cast<int>(queries_a_panel<T>), 1>;

/// As many numbers as a panel has queries, at any address.
template <class T>
auto across(T* from) {
  using Element = std::conditional_t<std::is_const_v<T>, const Across<std::remove_const_t<T>>, Across<T>>;
  return Eigen::Map<Element>(from);
}

/// Row `key` of a panel.
template <class T>
auto row_of(T* panel, Extent key) {
  return across(panel + key * queries_a_panel<std::remove_const_t<T>>);
}

/// One head of one sequence: where its rows are, and how many.
struct HeadRows {
  Extent first = 0;
  Extent count = 0;
};
inline HeadRows rows_of(const SequenceView& sequences, Extent s) {
  return {sequences.begins[s], sequences.ends[s] - sequences.begins[s]};
}

/// The queries [first, first + count) of a sequence, and the keys [begin, begin + keys) that any of them sees; in front
/// of these, up to Tile::rows - 1 that none does, so that packed keys can be read from there on.
template <class T>
struct QueryPanel {
  Extent first = 0;
  Extent count = 0;
  QueryPositions positions;  ///< of the sequence's queries
  Extent begin = 0;
  Extent keys = 0;
  bool causal = true;
  Extent window = 0;

  /// Of the queries [first, end) as many as go together. `base`: the first key that is packed.
  QueryPanel(const AttentionShape& shape, Extent first_, Extent end, HeadRows queries, HeadRows all_keys,
             Extent base = 0)
      : first(first_),
        positions(QueryPositions::of(shape, queries.first, queries.count, all_keys.count)),
        causal(shape.causal),
        window(shape.window) {
    const Extent most = std::min(queries_a_panel<T>, end - first);
    // Queries whose windows do not touch are taken apart: the keys between them are seen by none.
    for (count = 1; count < most; ++count) {
      if (window > 0 && shape.first_key_seen(position(count)) > position(count - 1) + 1) break;
    }
    begin = base + (shape.first_key_seen(position(0)) - base) / Tile<T>::rows * Tile<T>::rows;
    keys = shape.keys_seen(position(count - 1), all_keys.count) - begin;
  }

  /// Of the i-th query of the panel, among the keys.
  Extent position(Extent i) const { return positions[first + i]; }
  /// Whether the queries stand side by side among the keys.
  bool is_dense() const { return positions.follow_each_other(first, count); }

  /// Sets what a query does not see: in the last rows of a causal panel, and in the first ones where there is a window.
  void mask(T* panel, T value) const {
    if (!causal) return;
    Extent blind = 0;  // queries that do not see the key yet: the first ones
    for (Extent key = position(0) + 1; key < begin + keys; ++key) {
      while (blind < count && position(blind) < key) ++blind;
      std::fill_n(panel + (key - begin) * queries_a_panel<T>, blind, value);
    }
    if (window == 0) return;
    Extent seeing = 0;  // queries that still see the key: the first ones
    for (Extent key = begin; key + window <= position(count - 1); ++key) {
      while (seeing < count && position(seeing) < key + window) ++seeing;
      std::fill_n(panel + (key - begin) * queries_a_panel<T> + seeing, count - seeing, value);
    }
  }
};

/// Writes c^T, c (cols, queries) with Tile::cols a row, to the queries' rows of y, or adds it.
template <class T>
void store_transposed(const T* c, Extent cols, Extent queries, T* y, Extent stride) {
  for (Extent q = 0; q < queries; ++q) {
    for (Extent d = 0; d < cols; ++d) y[q * stride + d] = c[d * queries_a_panel<T> + q];
  }
}

}  // namespace greentrainer::eigen
