#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <span>

#include "greentrainer/core/matrix.hpp"
#include "greentrainer/core/storage_format.hpp"

namespace greentrainer {

/// A matrix whose numbers lie in a storage format, in a backend's memory, not owned: rows one after the other, each of
/// whole blocks.
struct StoredMatrix {
  const StorageFormat* format = nullptr;
  const std::byte* data = nullptr;
  Extent rows = 0;
  Extent cols = 0;

  explicit operator bool() const { return data != nullptr; }
  Extent size() const { return rows * cols; }
  Bytes row_bytes() const { return cols / static_cast<Extent>(format->block) * static_cast<Bytes>(format->bytes); }
  Bytes bytes() const { return rows * row_bytes(); }
  /// Rows [first, first + count).
  StoredMatrix rows_from(Extent first, Extent count) const { return {format, data + first * row_bytes(), count, cols}; }
};

/// A weight matrix as operators hand it to products: of the backend's elements, or in a storage format.
template <class T>
struct Weight {
  Matrix<const T> elements = {};  ///< no data: it is `stored`
  StoredMatrix stored = {};

  Weight() = default;
  Weight(Matrix<const T> matrix) : elements(matrix) {}
  Weight(Matrix<T> matrix) : elements(matrix) {}
  Weight(StoredMatrix matrix) : stored(matrix) {}

  bool is_stored() const { return static_cast<bool>(stored); }
  Extent rows() const { return is_stored() ? stored.rows : elements.rows; }
  Extent cols() const { return is_stored() ? stored.cols : elements.cols; }
  Weight rows_from(Extent first, Extent count) const {
    return is_stored() ? Weight(stored.rows_from(first, count)) : Weight(elements.rows_from(first, count));
  }
};

/// The numbers [first, first + count) of a row, for a backend whose memory is the host's. Blocks that are needed in
/// part are decoded whole.
template <std::floating_point T>
void decode_row_part(const StoredMatrix& matrix, Extent row, Extent first, Extent count, T* values) {
  const StorageFormat& format = *matrix.format;
  const auto block = static_cast<Extent>(format.block), bytes = static_cast<Extent>(format.bytes);
  const std::byte* const from = matrix.data + row * matrix.row_bytes();
  if (format.dtype) {
    return decode_floats<T>(*format.dtype, std::span(from + first * bytes, static_cast<std::size_t>(count * bytes)),
                            std::span(values, static_cast<std::size_t>(count)));
  }
  std::array<float, 256> whole;
  for (Extent at = first; at < first + count;) {
    const Extent number = at / block, skipped = at % block, used = std::min(block - skipped, first + count - at);
    format.decode_block(from + number * bytes, whole.data());
    std::copy_n(whole.data() + skipped, used, values + (at - first));
    at += used;
  }
}

}  // namespace greentrainer
