#pragma once

#include <type_traits>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// A row-major matrix in a backend's memory, not owned: element (r, c) is at data[r * stride + c].
/// The host must not dereference `data`; only the backend's kernels do.
template <class T>
struct Matrix {
  T* data = nullptr;
  Extent rows = 0;
  Extent cols = 0;
  Extent stride = 0;

  Matrix() = default;
  Matrix(T* data_, Extent rows_, Extent cols_) : data(data_), rows(rows_), cols(cols_), stride(cols_) {}
  Matrix(T* data_, Extent rows_, Extent cols_, Extent stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  /// A matrix that may be written can be read.
  template <class U>
  requires std::is_same_v<T, const U> Matrix(const Matrix<U>& writable)
      : data(writable.data), rows(writable.rows), cols(writable.cols), stride(writable.stride) {}

  explicit operator bool() const { return data != nullptr; }
  Extent size() const { return rows * cols; }

  /// Rows [first, first + count).
  Matrix rows_from(Extent first, Extent count) const { return {data + first * stride, count, cols, stride}; }
};

/// Whether an operand of a product is used as it is or transposed.
enum class Transpose : bool { no = false, yes = true };

/// Whether a kernel replaces what its output held or adds to it.
enum class Write : bool { overwrite = false, accumulate = true };

}  // namespace greentrainer
