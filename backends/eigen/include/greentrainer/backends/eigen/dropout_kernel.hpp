#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "greentrainer/backends/eigen/workers.hpp"
#include "greentrainer/core/kernel_arguments.hpp"

namespace greentrainer::eigen {

/// The numbers [256 * group, 256 * (group + 1)) of a stream: philox4x32 on 64 counters side by side, for which
/// compilers find vectors.
inline std::array<std::uint32_t, 256> random_group(const RandomStream& stream, std::uint64_t group) {
  constexpr std::uint32_t width = 64;
  std::uint32_t a[width], b[width], c[width], d[width];
  for (std::uint32_t i = 0; i < width; ++i) {
    const std::uint64_t index = group * width + i;
    a[i] = static_cast<std::uint32_t>(index);
    b[i] = static_cast<std::uint32_t>(index >> 32);
    c[i] = stream.high[0];
    d[i] = stream.high[1];
  }
  std::uint32_t key0 = stream.key[0], key1 = stream.key[1];
  for (int round = 0; round < 10; ++round) {
    for (std::uint32_t i = 0; i < width; ++i) {
      const std::uint64_t p = std::uint64_t{0xD2511F53U} * a[i], q = std::uint64_t{0xCD9E8D57U} * c[i];
      a[i] = static_cast<std::uint32_t>(q >> 32) ^ b[i] ^ key0;
      b[i] = static_cast<std::uint32_t>(q);
      c[i] = static_cast<std::uint32_t>(p >> 32) ^ d[i] ^ key1;
      d[i] = static_cast<std::uint32_t>(p);
    }
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  std::array<std::uint32_t, 4 * width> numbers;
  for (std::uint32_t i = 0; i < width; ++i) {
    numbers[4 * i] = a[i];
    numbers[4 * i + 1] = b[i];
    numbers[4 * i + 2] = c[i];
    numbers[4 * i + 3] = d[i];
  }
  return numbers;
}

template <class T>
class DropoutKernel {
 public:
  explicit DropoutKernel(Workers& workers) : workers_(workers) {}

  /// Without gaps between rows, a matrix is one long row.
  void dropout(Matrix<const T> x, const DropoutMask& mask, Matrix<T> y, Write write) {
    expect_shape("dropout", "operand", x, y.rows, y.cols);
    if (x.stride == x.cols && y.stride == y.cols) {
      workers_.for_elements(y.size(), [&](Extent first, Extent count) {
        drop(mask, first, count, x.data + first, y.data + first, write);
      });
    } else {
      workers_.for_chunks(y.rows, y.cols, [&](Extent first, Extent count, int) {
        for (Extent r = first; r < first + count; ++r)
          drop(mask, r * y.cols, y.cols, x.data + r * x.stride, y.data + r * y.stride, write);
      });
    }
  }

 private:
  /// Of `count` elements that are numbered from `number` on.
  static void drop(const DropoutMask& mask, Extent number, Extent count, const T* x, T* y, Write write) {
    const T scale = static_cast<T>(mask.scale());
    const std::uint32_t threshold = mask.threshold();
    std::array<std::uint32_t, 256> bits;
    bits.fill(0xFFFFFFFFU);
    for (Extent i = 0; i < count;) {
      const Extent group = (number + i) / 256, begin = (number + i) % 256, n = std::min<Extent>(256 - begin, count - i);
      if (mask.probability > 0) bits = random_group(mask.stream, static_cast<std::uint64_t>(group));
      if (write == Write::accumulate) {
        for (Extent k = 0; k < n; ++k)
          y[i + k] += bits[static_cast<std::size_t>(begin + k)] < threshold ? T(0) : x[i + k] * scale;
      } else {
        for (Extent k = 0; k < n; ++k)
          y[i + k] = bits[static_cast<std::size_t>(begin + k)] < threshold ? T(0) : x[i + k] * scale;
      }
      i += n;
    }
  }

  Workers& workers_;
};

}  // namespace greentrainer::eigen
