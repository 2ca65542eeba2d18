#pragma once

#include "greentrainer/backends/eigen/lanes.hpp"
#include "greentrainer/backends/eigen/workers.hpp"

namespace greentrainer::eigen {

/// out (cols) += sum over rows of term(row, first column, count), count <= lanes. Strips of columns are split among
/// threads, so each column is summed by one of them; rows are taken 64 at a time, so that rounding does not grow with
/// their number.
template <class T, class Term>
void add_column_sums(Workers& workers, Extent rows, Extent cols, T* out, Term term) {
  constexpr Extent groups = 4;
  constexpr Extent strip = groups * lanes<T>;
  workers.parallel_for(ceil_div(cols, strip), [&](Extent task, int) {
    const Extent first = task * strip;
    std::array<Lanes<T>, groups> total;
    for (Lanes<T>& t : total) t.setZero();
    for (Extent block = 0; block < rows; block += 64) {
      std::array<Lanes<T>, groups> sum;
      for (Lanes<T>& s : sum) s.setZero();
      for (Extent r = block; r < std::min(rows, block + 64); ++r) {
        Extent c = first;
        for (std::size_t g = 0; g < groups && c < cols; ++g, c += lanes<T>)
          sum[g] += term(r, c, std::min(lanes<T>, cols - c));
      }
      for (std::size_t g = 0; g < groups; ++g) total[g] += sum[g];
    }
    Extent c = first;
    for (std::size_t g = 0; g < groups && c < cols; ++g, c += lanes<T>) {
      const Extent count = std::min(lanes<T>, cols - c);
      store<T>(out + c, load<T>(out + c, count) + total[g], count);
    }
  });
}

}  // namespace greentrainer::eigen
