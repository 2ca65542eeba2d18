#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Rows of a file by their place among those that are not blank, from 0: first .. last - 1.
struct RowRange {
  Extent first = 0;
  Extent last = std::numeric_limits<Extent>::max();

  bool contains(Extent row) const { return row >= first && row < last; }
  /// Removes all others from `rows`.
  template <class Row>
  void keep(std::vector<Row>& rows) const {
    const auto count = static_cast<Extent>(rows.size());
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(std::min(last, count)), rows.end());
    rows.erase(rows.begin(),
               rows.begin() + static_cast<std::ptrdiff_t>(std::min(first, static_cast<Extent>(rows.size()))));
  }
};

}  // namespace greentrainer
