#pragma once

#include <string_view>

#include "greentrainer/core/error.hpp"
#include "greentrainer/core/matrix.hpp"

namespace greentrainer::cuda {

/// Throws ShapeError unless `matrix` is (rows, cols).
template <class T>
void expect_shape(std::string_view kernel, std::string_view operand, const Matrix<T>& matrix, Extent rows,
                  Extent cols) {
  if (matrix.rows == rows && matrix.cols == cols) return;
  throw ShapeError(kernel, operand,
                   text("expected shape (", rows, ", ", cols, "), got (", matrix.rows, ", ", matrix.cols, ")"));
}

}  // namespace greentrainer::cuda
