#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "greentrainer/core/expect_option.hpp"
#include "greentrainer/core/types.hpp"

namespace greentrainer {

/// Rows of a file by their place among those that are not blank, from 0: first .. last - 1. Its members throw
/// ConfigError for a range that is none.
struct RowRange {
  Extent first = 0;
  Extent last = std::numeric_limits<Extent>::max();

  void check() const {
    expect_option(first >= 0, "RowRange", "first", "at least 0", first);
    expect_option(last > first, "RowRange", "last", text("more than first, which is ", first), last);
  }
  bool contains(Extent row) const {
    check();
    return row >= first && row < last;
  }
  /// Removes all others from `rows`.
  template <class Row>
  void keep(std::vector<Row>& rows) const {
    check();
    const auto count = static_cast<Extent>(rows.size());
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(std::min(last, count)), rows.end());
    rows.erase(rows.begin(),
               rows.begin() + static_cast<std::ptrdiff_t>(std::min(first, static_cast<Extent>(rows.size()))));
  }
};

}  // namespace greentrainer
